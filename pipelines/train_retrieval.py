"""Train two towers on click histories, and index the items."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.training.config import TrainConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.batches import HistoryBatches
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.two_tower import TwoTower


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train two towers on a prepared click log and index the items."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    init: Path | None = None
    """Run of `pretrain` whose encoder the user tower starts from; its [encoder] settings are taken over."""

    encoder_lr: float | None = None
    """Learning rate of a pretrained encoder, 0 to leave it as it is; train.lr when not given."""

    encoder_dropout: float | None = None
    """Dropout of a pretrained encoder from here on; what it was pretrained with when not given."""

    encoder_residual_scale: float | None = None
    """Factor on the maps with which a pretrained encoder's branches end. Below 1 its layers start nearer to the
    identity, as those of a new encoder do, and keep what they attend to; causal training after masked training is
    better for it. 1 when not given."""

    item_init: Literal["random", "ppmi"] = "random"
    """Where item embeddings start: at random, or so that items which stand near each other in training histories are
    near (positive mutual information, factorised; a matter of seconds). With few events an item it learns sooner and
    better; then fewer epochs do."""

    features: tuple[str, ...] = ()
    """Item features that are added to every position of a history; a pretrained encoder brings its own."""

    crop: Literal["last", "random", "prefix"] = "last"
    """Which events of a history are shown, encoder.max_len at most: the newest; of a longer one any run; or those up to
    any event, as if the history had ended there. Drawn anew every epoch."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 takes all."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The user tower's encoder, where none is pretrained."""

    towers: TowersConfig = field(default_factory=TowersConfig)
    """Features of the towers."""

    loss: LossConfig = field(default_factory=lambda: TOWERS_LOSS)
    """The item loss and its negatives."""

    index: IndexConfig = field(default_factory=IndexConfig)
    """The index over the item vectors."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How it is trained."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "features", "causal"):
            if getattr(self.encoder, name) != getattr(EncoderConfig(), name):
                raise InputError(f"encoder.{name} follows from the data here; leave it out.")
        if self.init and (self.encoder != EncoderConfig() or self.features or self.item_init != "random"):
            raise InputError(
                f"[encoder], features and item embeddings come from {self.init} here; leave out [encoder], features "
                "and item_init, or leave out init."
            )
        if self.train.optimiser.sparse_adam and self.loss.name == "full":
            raise InputError("train.optimiser.sparse_adam is for sampled losses; loss.name 'full' reads all items.")
        for name in ("encoder_lr", "encoder_dropout", "encoder_residual_scale"):
            if getattr(self, name) is not None and not self.init:
                raise InputError(f"{name} is for a pretrained encoder; give init as well.")
        for name in ("encoder_lr", "encoder_residual_scale"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        if self.encoder_lr == 0 and not (self.towers.item_features or self.towers.user_features):
            raise InputError(
                "encoder_lr is 0, and without towers.item_features or towers.user_features there is nothing else to "
                "train. Name some, or give encoder_lr a value above 0."
            )

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings without effect.

        Raises:
            InputError: One of those that were named has none.
        """
        self.loss.check_named(frozenset(name.removeprefix("loss.") for name in names if name.startswith("loss.")))


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, write ``out/two_tower`` and ``out/index``.

    Returns:
        Best validation figure, epochs, seconds, parameters, items indexed.
    """
    import torch

    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.files import replacing
    from recsys_bert.retrieval.ranker_index import index_items, index_source
    from recsys_bert.retrieval.two_tower import TwoTowerRanker, build_two_tower, save_two_tower
    from recsys_bert.retrieval.validation import validation
    from recsys_bert.stages.results import finish
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.loop import fit
    from recsys_bert.training.run_folder import begin, is_first_process
    from recsys_bert.user_encoder.unchanged import check_log_unchanged

    dataset = open_dataset(config.data)
    torch.manual_seed(config.train.seed)
    auxiliary = config.train.auxiliary.weight or None
    encoder = _encoder(config, dataset)
    model = build_two_tower(encoder, config.towers, config.loss, dataset, auxiliary=auxiliary)
    batches = _batches(config, dataset, model.encoder.config)
    miner = _miner(config, dataset, model, batches)
    validate = validation(
        dataset,
        lambda _: TwoTowerRanker(model, precision=config.train.precision),
        users=config.validation_users,
        seed=config.train.seed,
        monitor=config.train.monitor,
    )
    _check_index(config, model)
    check_table(model, config.train)
    begin(config.out, config)
    check_log_unchanged(config.out, dataset, config.init)
    own_lr = config.encoder_lr is not None
    groups = [{"params": list(model.encoder.parameters()), "lr": config.encoder_lr}] if own_lr else None
    summary = fit(
        model,
        batches,
        config.train,
        config.out,
        validate=validate,
        groups=groups,
        before_step=miner,
        label="training two towers",
    )
    if is_first_process():
        with replacing(config.out / "two_tower") as aside:
            save_two_tower(aside, model, dataset)
        vectors, source = TwoTowerRanker(model).item_vectors(), index_source(config.out, dataset)
        index_items(vectors, model.first_item, config.index, source).save(config.out / "index")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    results = finish(config.out / "two_tower", summary, config.train.monitor, parameters, batches.n_skipped)
    return results | {"items_indexed": model.n_rows - model.first_item}


def _encoder(config: Config, dataset: "ClickDataset") -> "Encoder":
    """The user tower's encoder: a pretrained one made causal, or a new one."""
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import feature_configs, load_encoder, take_weights
    from recsys_bert.user_encoder.item_init import init_items

    if config.init is None:
        size = dataset.vocabulary.size
        features = feature_configs(dataset, config.features)
        encoder = Encoder(replace(config.encoder, vocab_size=size, causal=True, features=features))
        init_items(encoder, dataset, config.item_init)
        return encoder
    given, _, _ = load_encoder(config.init, dataset)
    dropout = given.config.dropout if config.encoder_dropout is None else config.encoder_dropout
    encoder = Encoder(replace(given.config, causal=True, dropout=dropout))
    take_weights(encoder, given, config.init)
    if config.encoder_residual_scale is not None:
        encoder.scale_residual_branches(config.encoder_residual_scale)
    return encoder


def _batches(config: Config, dataset: "ClickDataset", encoder: EncoderConfig) -> "HistoryBatches":
    from recsys_bert.clicks.batches import HistoryBatches, next_item
    from recsys_bert.losses.negatives import NegativeSampler

    vocabulary = dataset.vocabulary
    sampler = NegativeSampler(vocabulary.counts, vocabulary.first_item, config.loss.negatives)

    def make(shown: Any, random: Any) -> dict[str, Any]:
        batch = next_item(shown.items, shown.lengths, vocabulary.first_item, shown.times)
        batch["users"] = shown.users
        if config.loss.name != "full":
            sampler.add_to(batch, shown.items, random)
        return batch

    return HistoryBatches(
        dataset.histories,
        make,
        batch_size=config.train.batch_size,
        length=encoder.max_len + 1,
        crop=config.crop,
        times=encoder.needs_times,
        seed=config.train.seed,
    )


def _miner(
    config: Config, dataset: "ClickDataset", model: "TwoTower", batches: "HistoryBatches"
) -> "Callable[[int], None] | None":
    from recsys_bert.retrieval.negatives import HardNegativeMiner
    from recsys_bert.retrieval.two_tower import TwoTowerRanker

    if not model.item_loss.mines:
        return None
    n_steps = config.train.epochs * math.ceil(batches.steps / config.train.accumulate)
    return HardNegativeMiner(model, model.item_loss, TwoTowerRanker(model), dataset, config.index, n_steps)


def _check_index(config: Config, model: "TwoTower") -> None:
    """Find out before the training whether the index can be built after it."""
    from recsys_bert.retrieval import faiss_parts

    faiss_parts.check(config.index, model.encoder.embeddings.token.embedding_dim, model.n_rows - model.first_item)
