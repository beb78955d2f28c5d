"""Train two towers on click histories, and index the items."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.settings import make_config, named_settings
from recsys_bert.stages.encoder_settings import DERIVED, check_id_dropout
from recsys_bert.stages.folders import temporary_run
from recsys_bert.stages.sizes import SIZES
from recsys_bert.stages.text_feature import TEXT_DIM, check_text, named_with_text, with_text
from recsys_bert.training.config import TrainConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.batches import Crops, HistoryBatches
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.losses.negatives import Popularity
    from recsys_bert.retrieval.negatives import HardNegativeMiner
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.two_tower import TwoTower
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker


@dataclass(frozen=True, kw_only=True)
class TrainRetrievalConfig:
    """Settings of training two towers."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    encoder_lr: float | None = None
    """Learning rate of a pretrained encoder, 0 to freeze it; train.lr when not given."""

    encoder_dropout: float | None = None
    """Dropout of a pretrained encoder from here on; that of pretraining when not given."""

    encoder_residual_scale: float | None = None
    """Factor on the last maps of a pretrained encoder's residual branches. Below 1 its layers start nearer to the
    identity, as those of a new encoder do, and keep their attention; causal training after masked training gains. 1
    when not given."""

    item_init: Literal["auto", "random", "ppmi", "item2vec", "item2vec_cbow", "glove"] = "auto"
    """Initial item embeddings: random, or factorised positive pointwise mutual information of neighbours in training
    histories (seconds), which learns sooner and better; or item2vec (skip-gram, or CBOW) or GloVe vectors, trained on
    the histories. auto = ppmi up to 10 million training events. With init, of the
    items that it does not know: ppmi = the mean of their neighbours' embeddings, weighted so."""

    features: tuple[str, ...] = ()
    """Item features added to every position of a history, numbers and vectors through a linear adapter, and
    ``event_type``, the type of its event; a pretrained encoder brings its own."""

    text: str | None = None
    """Text of items as a dense feature ``text`` of positions and of the item tower: ``tfidf``, ``words``, or a
    folder of `item-vectors`; reduced by PCA to ``text_dim``. The run keeps what it needs."""

    text_dim: int = TEXT_DIM
    """Width of that feature."""

    id_dropout: float = 0.0
    """Probability of reading an item of a history as unknown in training, with its features alone; above 0 for
    catalogues with new items. Needs ``features`` of items; ``towers.id_dropout`` is of the items that are ranked."""

    target_types: tuple[str, ...] = ()
    """Event types that are predicted, as purchase; events of other types are context alone, also at validation. Empty:
    all types."""

    event_weights: bool = True
    """Multiply the loss of every target by its event's weight; False: all targets count the same."""

    crop: Literal["last", "random", "prefix", "every"] = "last"
    """Crop of a history, encoder.max_len events at most: the last ones, a random window of a longer history, or the
    prefix up to a random event, as if the history had ended there, drawn anew every epoch: one causal pass predicts the
    item after every event. every: each prefix is an example of its own (and counts for one in train.batch_size), read
    both ways, so that positions count from the target and no layer has to be causal; slower."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 takes all."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """User tower's encoder, where none is pretrained."""

    towers: TowersConfig = field(default_factory=TowersConfig)
    """Features of the towers."""

    loss: LossConfig = field(default_factory=lambda: TOWERS_LOSS)
    """Item loss and its negatives."""

    index: IndexConfig = field(default_factory=IndexConfig)
    """Index over the item vectors."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""

    def __post_init__(self) -> None:
        if self.train.optimiser.sparse_adam and not self.loss.samples:
            raise InputError(
                f"train.optimiser.sparse_adam is for sampled losses; loss.name {self.loss.name!r} reads all items."
            )
        for name in ("encoder_lr", "encoder_residual_scale"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        check_text(self.text, self.text_dim)
        items = named_with_text(self.towers.item_features, self.text)
        if self.towers.id_dropout and not items:
            raise InputError("towers.id_dropout masks an item's embedding; name towers.item_features, or set it to 0.")
        frozen, optimiser = self.encoder_lr == 0, self.train.optimiser
        if frozen and (optimiser.layer_decay < 1 or optimiser.sparse_adam):
            name = "sparse_adam" if optimiser.sparse_adam else "layer_decay"
            raise InputError(f"train.optimiser.{name} is of the encoder, which encoder_lr 0 freezes. Leave one out.")
        if frozen and not (items or self.towers.user_features):
            raise InputError(
                "encoder_lr is 0, and without towers.item_features or towers.user_features there is nothing else to "
                "train. Name some, or give encoder_lr a value above 0."
            )

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings without effect.

        Raises:
            InputError: One of those that were named has none.
        """
        if derived := [name for name in DERIVED if f"encoder.{name}" in names]:
            raise InputError(f"encoder.{derived[0]} follows from the data here; leave it out.")
        if not (self.towers.item_features or self.towers.user_features or self.text):
            for name in ("towers.hidden", "towers.dropout", "towers.adapter"):
                if name in names:
                    raise InputError(f"{name} has no effect: it is of the MLPs over features, and none are named.")


def check_init(config: TrainRetrievalConfig, init: Path | None, names: frozenset[str] = frozenset()) -> None:
    """Refuse settings that a pretrained encoder overrides, or that only one has.

    Args:
        config: The settings.
        init: Run of the pretrained encoder.
        names: Settings that were named, whatever their values.

    Raises:
        InputError: One of them is set.
    """
    overridden = [name for name in names if name.startswith("encoder.") or name in ("features", "size")]
    if init and overridden:
        raise InputError(f"{min(overridden)} comes from init {init}; leave it out, or leave out init.")
    for name in ("encoder_lr", "encoder_dropout", "encoder_residual_scale"):
        if getattr(config, name) is not None and not init:
            raise InputError(f"{name} is for a pretrained encoder; give init as well.")


def train_retrieval(
    dataset: "ClickDataset",
    *,
    init: "Path | str | Recommender | None" = None,
    out: Path | str | None = None,
    config: TrainRetrievalConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> "Recommender":
    """Train two towers, keep the best epoch's weights, and write ``out/two_tower`` and ``out/index``.

    Args:
        dataset: The log.
        init: Run of ``pretrain``, or what it returned, whose encoder the user tower starts from; or one of
            ``train_retrieval``, whose towers go on. Their items keep their weights where the log has grown since; the
            optimiser starts anew.
        out: Run folder; a run that was stopped there goes on. None: a temporary one, removed with what is returned.
        config: All settings as one object.
        allow_parts: Import parts from outside (``module:Class``) that init names; their code runs.
        **settings: Settings by name, in place of ``config``: ``train={"epochs": 5}``.

    Raises:
        InputError: The settings do not fit together or do not suit the log; nothing is written then.
    """
    from recsys_bert.retrieval.recommender import run_folder_of

    settled = make_config(TrainRetrievalConfig, config, settings)
    pretrained = None if init is None else run_folder_of(init)
    check_init(settled, pretrained, named_settings(settings))
    check_id_dropout(settled.id_dropout, named_with_text(settled.features, settled.text), pretrained)
    with allowing_parts(allow_parts):
        if out is not None:
            return _train(dataset, pretrained, Path(out), settled)
        with temporary_run("two-towers") as (run, keep_with):
            return keep_with(_train(dataset, pretrained, run, settled))


def _train(dataset: "ClickDataset", init: Path | None, out: Path, config: TrainRetrievalConfig) -> "Recommender":
    import torch

    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.two_tower import build_two_tower
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker
    from recsys_bert.retrieval.validation import validation
    from recsys_bert.stages.results import finish
    from recsys_bert.stages.towers_start import start_towers
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.loop import fit
    from recsys_bert.training.run_folder import begin, is_first_process
    from recsys_bert.user_encoder.targets import check_targets, describe_targets, target_popularity
    from recsys_bert.user_encoder.unchanged import check_log_unchanged

    torch.manual_seed(config.train.seed)
    auxiliary = config.train.auxiliary.weight or None
    dataset, config = _with_text(dataset, init, config)
    start = start_towers(
        dataset,
        init,
        encoder=config.encoder,
        features=config.features,
        item_init=config.item_init,
        towers=config.towers,
        similarity=config.loss.similarity,
        dropout=config.encoder_dropout,
        residual_scale=config.encoder_residual_scale,
        causal=config.crop != "every",
    )
    config = replace(config, encoder=start.encoder.config, features=start.features, towers=start.towers)
    check_id_dropout(config.id_dropout, config.features, None)
    config = replace(config, item_init=start.item_init)
    check_targets(dataset, config.target_types, config.event_weights, config.loss)
    counts = target_popularity(dataset, config.target_types, config.loss.negatives.by_weight)
    model = build_two_tower(
        start.encoder,
        config.towers,
        config.loss,
        dataset,
        counts=counts,
        auxiliary=auxiliary,
        id_dropout=config.id_dropout,
    )
    start.copy_mlps(model)
    ranker = TwoTowerRanker(model, out.name, precision=config.train.precision)
    batches = _batches(dataset, config, counts)
    miner = _miner(dataset, config, model, batches)
    validate = validation(
        dataset,
        lambda _: ranker,
        users=config.validation_users,
        seed=config.train.seed,
        monitor=config.train.monitor,
        target_types=config.target_types,
    )
    _check_index(config, model)
    check_table(model, config.train)
    with begin(out, config):
        check_log_unchanged(out, dataset, init)
        encoder_lr = config.encoder_lr is not None
        groups = [{"params": list(model.encoder.parameters()), "lr": config.encoder_lr}] if encoder_lr else None
        summary = fit(
            model,
            batches,
            config.train,
            out,
            validate=validate,
            groups=groups,
            before_step=miner,
            label="training two towers",
        )
        if is_first_process():
            _save(dataset, config, ranker, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    about = describe_targets(dataset, config.target_types, config.event_weights)
    results = finish(out / "two_tower", summary, config.train.monitor, parameters, batches.n_skipped, about)
    return Recommender(ranker, dataset, out, summary=results | {"items_indexed": model.n_rows - model.first_item})


def _with_text(
    dataset: "ClickDataset", init: Path | None, config: TrainRetrievalConfig
) -> "tuple[ClickDataset, TrainRetrievalConfig]":
    """Log and settings with the text of items, where there is any; an encoder of ``init`` has its own features.

    Raises:
        InputError: It cannot be made; or a setting of the features' MLPs or adapters has no effect.
    """
    artefacts = [] if init is None else [init / "two_tower", init / "encoder"]
    dataset = with_text(dataset, config.text, config.text_dim, *artefacts)
    towers = replace(config.towers, item_features=named_with_text(config.towers.item_features, config.text))
    towers.check_used({*dataset.item_dense, *dataset.user_dense})
    features = config.features if init else named_with_text(config.features, config.text)
    return dataset, replace(config, features=features, towers=towers)


def _save(dataset: "ClickDataset", config: TrainRetrievalConfig, ranker: "TwoTowerRanker", out: Path) -> None:
    from recsys_bert.files import replacing
    from recsys_bert.retrieval.ranker_index import index_items, index_source
    from recsys_bert.retrieval.two_tower_ranker import save_two_tower

    with replacing(out / "two_tower", sealed=True) as temporary:
        save_two_tower(temporary, ranker.model, dataset)
    vectors, source = ranker.item_vectors(), index_source(out, dataset)
    index_items(vectors, ranker.first_item, config.index, source).save(out / "index")


def _batches(dataset: "ClickDataset", config: TrainRetrievalConfig, counts: "Popularity") -> "HistoryBatches":
    from recsys_bert.clicks.batches import HistoryBatches
    from recsys_bert.losses.negatives import NegativeSampler
    from recsys_bert.objectives.last_item import LastItem
    from recsys_bert.objectives.next_item import NextItem
    from recsys_bert.user_encoder.batches import history_sequences, item_table, target_events
    from recsys_bert.user_encoder.checkpoint import reads_event_types

    encoder, vocabulary = config.encoder, dataset.vocabulary
    objective = LastItem() if config.crop == "every" else NextItem()
    sampler = NegativeSampler(counts, vocabulary.first_item, config.loss.negatives)
    table, codes = item_table(vocabulary), dataset.event_type_codes(config.target_types)

    def make(crops: "Crops", random: Any) -> dict[str, Any]:
        batch = objective.make_batch(history_sequences(crops, vocabulary, codes), table, random)
        batch["users"] = crops.users
        if config.loss.samples:
            sampler.add_to(batch, crops.items, random)
        return batch

    return HistoryBatches(
        dataset.histories,
        make,
        batch_size=config.train.batch_size,
        length=encoder.max_len + objective.extra_events,
        crop=config.crop,
        times=encoder.needs_times,
        weights=config.event_weights,
        event_types=reads_event_types(encoder) or len(codes) > 0,
        ends=target_events(dataset, codes) if config.crop == "every" else None,
        seed=config.train.seed,
    )


def _miner(
    dataset: "ClickDataset", config: TrainRetrievalConfig, model: "TwoTower", batches: "HistoryBatches"
) -> "HardNegativeMiner | None":
    from recsys_bert.retrieval.negatives import HardNegativeMiner
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker

    if not model.item_loss.mines:
        return None
    n_steps = config.train.epochs * math.ceil(batches.steps / config.train.accumulate)
    return HardNegativeMiner(model, model.item_loss, TwoTowerRanker(model), dataset, config.index, n_steps)


def _check_index(config: TrainRetrievalConfig, model: "TwoTower") -> None:
    """Find out before the training whether the index can be built after it."""
    from recsys_bert.retrieval import faiss_parts

    faiss_parts.check(config.index, model.encoder.embeddings.token.embedding_dim, model.n_rows - model.first_item)
