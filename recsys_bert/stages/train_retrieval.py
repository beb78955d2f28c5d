"""Train two towers on click histories, and index the items."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.settings import make_config, named_settings
from recsys_bert.stages.encoder_settings import check_id_dropout
from recsys_bert.stages.folders import temporary_run
from recsys_bert.stages.text_feature import check_text_encoder, named_with_text, with_text, with_trained_text
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig, check_init

if TYPE_CHECKING:
    from recsys_bert.clicks.batches import Crops, HistoryBatches
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.losses.negatives import Popularity
    from recsys_bert.retrieval.negatives import HardNegativeMiner
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.two_tower import TwoTower
    from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker
    from recsys_bert.user_encoder.trained_text import TrainableTextEncoder


def train_retrieval(
    dataset: "ClickDataset",
    *,
    init: "Path | str | Recommender | None" = None,
    text_encoder: "TrainableTextEncoder | None" = None,
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
        text_encoder: Text encoder that is trained with the towers, with ``text="trained"``: nlp_tasks' ``TextEncoder``.
            A copy of it is trained, which the run keeps.
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
    check_text_encoder(settled.text, text_encoder)
    with allowing_parts(allow_parts):
        if out is not None:
            return _train(dataset, pretrained, Path(out), settled, text_encoder)
        with temporary_run("two-towers") as (run, keep_with):
            return keep_with(_train(dataset, pretrained, run, settled, text_encoder))


def _train(
    dataset: "ClickDataset",
    init: Path | None,
    out: Path,
    config: TrainRetrievalConfig,
    text_encoder: "TrainableTextEncoder | None",
) -> "Recommender":
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
    from recsys_bert.user_encoder.trained_text import text_of
    from recsys_bert.user_encoder.unchanged import check_log_unchanged

    torch.manual_seed(config.train.seed)
    auxiliary = config.train.auxiliary.weight or None
    if text_encoder is not None:
        dataset = with_trained_text(dataset, text_encoder, config, init)
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
        attention="bidirectional" if config.crop == "every" else "causal",
    )
    encoder, item_init = start.encoder.config, start.item_init
    config = replace(config, encoder=encoder, features=start.features, towers=start.towers, item_init=item_init)
    check_id_dropout(config.id_dropout, config.features, None)
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
    ranker = TwoTowerRanker(model, out.name, precision=config.train.precision, texts=text_of(dataset))
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
        summary = fit(
            model,
            batches,
            config.train,
            out,
            validate=validate,
            groups=_groups(config, model),
            before_step=miner,
            label="training two towers",
        )
        if is_first_process():
            _save(dataset, config, ranker, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    about = describe_targets(dataset, config.target_types, config.event_weights)
    results = finish(out / "two_tower", summary, config.train.monitor, parameters, batches.n_skipped, about)
    return Recommender(ranker, dataset, out, summary=results | {"items_indexed": model.n_rows - model.first_item})


def _groups(config: TrainRetrievalConfig, model: "TwoTower") -> list[dict[str, Any]]:
    """Parameters with a learning rate of their own."""
    groups = []
    if config.encoder_lr is not None:
        groups.append({"params": list(model.encoder.parameters()), "lr": config.encoder_lr})
    if model.texts is not None:
        groups.append({"params": list(model.texts.parameters()), "lr": config.text_training.lr})
    return groups


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
    sampler = NegativeSampler(counts, vocabulary.first_item, config.loss.negatives) if config.loss.samples else None
    table, codes = item_table(vocabulary), dataset.event_type_codes(config.target_types)

    def make(crops: "Crops", random: Any) -> dict[str, Any]:
        batch = objective.make_batch(history_sequences(crops, vocabulary, codes), table, random)
        batch["users"] = crops.users
        if sampler is not None:
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
