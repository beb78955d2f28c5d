"""Pretrain an encoder on the histories of a prepared click log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.encoder_settings import check_derived, check_id_dropout
from recsys_bert.stages.folders import temporary_run
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.text_feature import check_text_encoder, named_with_text, with_text, with_trained_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from recsys_bert.clicks.batches import Crops, HistoryBatches
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.losses.negatives import NegativeSampler
    from recsys_bert.objectives.contrast.contrast import Contrast
    from recsys_bert.objectives.objective import Objective
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.negatives import HardNegativeMiner
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.user_encoder.checkpoint import PretrainedEncoder
    from recsys_bert.user_encoder.trained_text import TrainableTextEncoder

    TextRows = ItemVectors | NDArray[np.floating]


def pretrain(
    dataset: "ClickDataset | Sequence[ClickDataset]",
    *,
    item_vectors: "TextRows | Sequence[TextRows] | None" = None,
    text_encoder: "TrainableTextEncoder | None" = None,
    out: Path | str | None = None,
    config: PretrainConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> "Recommender":
    """Pretrain an encoder on histories, keep the best epoch by full ranking on validation events.

    Args:
        dataset: The prepared log; or several, with ``item_vectors`` of each.
        item_vectors: ``ItemVectors``, or text vectors ``[n_rows, d]`` by catalogue row, zeros where there is no text:
            items are these vectors alone, and ``init`` may be an encoder of another log with vectors of the same space.
        text_encoder: Text encoder that is trained with the encoder, with ``text="trained"``: nlp_tasks'
            ``TextEncoder``. A copy of it is trained, which the run keeps.
        out: Run folder; a run that was interrupted there is resumed. None: a temporary one, removed with what is
            returned.
        config: The settings.
        allow_parts: Import parts from outside (``module:Class``) that init or teacher name; their code runs.
        **settings: Or the settings as keywords, named as in a recipe; nested ones as dicts or config objects. ``init``
            and ``teacher`` may also be what ``pretrain`` returned.

    Raises:
        InputError: The settings do not suit the data, init or the teacher; before anything is written.
    """
    from recsys_bert.retrieval.recommender import run_folder_of

    for name in {"init", "teacher"} & settings.keys():
        settings[name] = None if settings[name] is None else run_folder_of(settings[name])
    settled = make_config(PretrainConfig, config, settings)
    check_text_encoder(settled.text, text_encoder)
    with allowing_parts(allow_parts):
        if out is not None:
            return _train(*_one_log(dataset, item_vectors, Path(out)), Path(out), settled, text_encoder)
        with temporary_run("encoder") as (folder, keep_with):
            return keep_with(_train(*_one_log(dataset, item_vectors, folder), folder, settled, text_encoder))


def _one_log(dataset: Any, item_vectors: Any, out: Path) -> "tuple[ClickDataset, NDArray[np.floating] | None]":
    """The log with its item vectors; several are merged in a folder beside ``out``.

    Raises:
        InputError: Several logs without item vectors: their ids have nothing in common.
    """
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.stages.merged_log import merge_logs

    if isinstance(dataset, ClickDataset):
        return dataset, _rows(item_vectors)
    if item_vectors is None or not dataset:
        raise InputError(
            f"{len(dataset)} logs are given without item_vectors, but ids of different logs have nothing in common. "
            "Give the text vectors of each."
        )
    return merge_logs(dataset, [_rows(one) for one in item_vectors], out.with_name(f"{out.name}_log"))


def _rows(item_vectors: Any) -> Any:
    return getattr(item_vectors, "rows", item_vectors)


def _train(
    dataset: "ClickDataset",
    item_vectors: "NDArray[np.floating] | None",
    out: Path,
    config: PretrainConfig,
    text_encoder: "TrainableTextEncoder | None",
) -> "Recommender":
    from recsys_bert.files import replacing
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.validation import validation
    from recsys_bert.stages.results import finish
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.loop import fit
    from recsys_bert.training.run_folder import begin, is_first_process
    from recsys_bert.user_encoder.checkpoint import save_encoder
    from recsys_bert.user_encoder.targets import describe_targets
    from recsys_bert.user_encoder.unchanged import check_log_unchanged

    training = build(config, dataset, item_vectors, text_encoder)
    config, dataset, train = training.config, training.dataset, training.config.train
    ranker = EncoderRanker(training.pretrained, out.name, precision=train.precision)
    validate = validation(
        dataset,
        lambda _: ranker,
        users=config.validation_users,
        seed=train.seed,
        monitor=train.monitor,
        target_types=config.target_types,
    )
    miner = _miner(training, ranker)
    check_table(training.module, train)
    with begin(out, config):
        check_log_unchanged(out, dataset, config.init, config.teacher, item_vectors=item_vectors)
        label = f"pretraining ({config.objective.rpartition(':')[2].replace('_', ' ')})"
        summary = fit(
            training.module,
            training.batches,
            train,
            out,
            validate=validate,
            groups=training.groups,
            before_step=miner,
            label=label,
        )
        if is_first_process():
            with replacing(out / "encoder", sealed=True) as target:
                save_encoder(target, training.pretrained, dataset)
    n_parameters, n_skipped = training.n_parameters, training.batches.n_skipped
    about = describe_targets(dataset, config.target_types, config.event_weights)
    results = finish(out / "encoder", summary, train.monitor, n_parameters, n_skipped, about)
    return Recommender(ranker, dataset, out, summary=results)


@dataclass(frozen=True)
class Training:
    """All that ``pretrain`` trains, before the first step."""

    config: PretrainConfig
    """Resolved settings: the encoder is the one that is trained."""

    dataset: "ClickDataset"
    """The log, with the text of its items as a feature where the encoder reads it."""

    pretrained: "PretrainedEncoder"
    """The encoder, which is saved and ranked with."""

    module: "nn.Module"
    """The loss, as ``fit`` takes it."""

    batches: "HistoryBatches"
    """The training batches."""

    n_parameters: int
    """Parameters of the objective's module, each counted once."""

    groups: Sequence[dict[str, Any]] = ()
    """Parameters with a learning rate of their own."""


def build(
    config: PretrainConfig,
    dataset: "ClickDataset",
    item_vectors: "NDArray[np.floating] | None" = None,
    text_encoder: "TrainableTextEncoder | None" = None,
) -> Training:
    """Build encoder, objective and batches, from freshly seeded weights.

    Args:
        config: The settings.
        dataset: The log.
        item_vectors: Text vectors ``[n_rows, d]``; None: items by their ids.
        text_encoder: Text encoder that is trained.

    Raises:
        InputError: The settings do not suit the data, init or the teacher.
    """
    import torch

    from recsys_bert.clicks.vocabulary import UNKNOWN
    from recsys_bert.losses.negatives import NegativeSampler
    from recsys_bert.objectives.contrast.contrast import ContrastiveLoss
    from recsys_bert.objectives.distilled import Distilled
    from recsys_bert.objectives.objective import build_objective
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.user_encoder.checkpoint import (
        BY_IDS,
        BY_VECTORS,
        PretrainedEncoder,
        reads_event_types,
        row_features,
    )
    from recsys_bert.user_encoder.targets import check_targets, target_popularity
    from recsys_bert.user_encoder.text_items import check_vectors
    from recsys_bert.user_encoder.trained_text import WithTrainedText, trained_text

    if config.text is not None and item_vectors is not None:
        raise InputError(f"text is {config.text!r}, but items are their item_vectors already. Leave one of them out.")
    objective = build_objective(config.objective, config.objective_options)
    torch.manual_seed(config.train.seed)
    if text_encoder is not None:
        dataset = with_trained_text(dataset, text_encoder, config, config.init)
    dataset = with_text(dataset, config.text, config.text_dim, *([config.init / "encoder"] if config.init else []))
    vectors = None if item_vectors is None else check_vectors(item_vectors, dataset)
    init = None if config.init is None else _init(config.init, dataset, vectors)
    config = _resolved(_by_vectors(config, vectors), dataset, objective, init)
    check_targets(dataset, config.target_types, config.event_weights, config.loss)
    encoder = _encoder(config, dataset, init, vectors)
    vocabulary, loss = dataset.vocabulary, config.loss
    counts = target_popularity(dataset, config.target_types, loss.negatives.by_weight)
    sampler = NegativeSampler(counts, vocabulary.first_item, loss.negatives) if loss.samples else None
    prediction = TokenPrediction(
        encoder,
        loss,
        first_row=vocabulary.first_item,
        counts=counts,
        n_users=dataset.histories.n_users,
        features=row_features(dataset, encoder.config),
        auxiliary=config.train.auxiliary.weight or None,
        unknown=UNKNOWN,
        id_dropout=config.id_dropout,
    )
    trained: Any = objective.module(prediction)
    contrast = _contrast(config)
    if contrast is not None:
        trained = ContrastiveLoss(trained, contrast)
    module: nn.Module = trained
    times, types = encoder.config.needs_times, reads_event_types(encoder.config)
    if config.teacher:
        teacher = _teacher(config, config.teacher, objective, dataset)
        module = Distilled(trained, teacher, config.distillation)
        times = times or teacher.encoder.config.needs_times
        types = types or reads_event_types(teacher.encoder.config)
    batches = _batches(config, dataset, objective, sampler, contrast, times, types)
    groups = []
    if (texts := trained_text(dataset)) is not None:
        if not isinstance(trained, TokenPrediction):
            raise InputError(
                f"objective {config.objective!r} draws items within a step, whose texts text 'trained' would have to "
                "encode. Take masked, next_item or last_item, or a frozen text."
            )
        module = WithTrainedText(module, prediction.item_loss, texts)
        groups.append({"params": list(texts.parameters()), "lr": config.text_training.lr})
    items = BY_IDS if vectors is None or config.train_item_vectors else BY_VECTORS
    pretrained = PretrainedEncoder(prediction, config.objective, config.objective_options, dataset, items)
    counted = [trained] if texts is None else [trained, texts]
    n_parameters = sum(parameter.numel() for part in counted for parameter in part.parameters())
    return Training(config, dataset, pretrained, module, batches, n_parameters, groups)


def _resolved(
    config: PretrainConfig, dataset: "ClickDataset", objective: "Objective", init: "Encoder | None"
) -> PretrainConfig:
    """Settings with the encoder that is trained: rows from the data, attention from the objective, the rest from init.

    Raises:
        InputError: A setting of the encoder, other than its default, is another there.
    """
    from recsys_bert.user_encoder.checkpoint import check_times, feature_configs, grown_config
    from recsys_bert.user_encoder.growth import resolve_new_items
    from recsys_bert.user_encoder.item_init import resolve_item_init

    if init is None:
        names = named_with_text(config.features, config.text)
        source, features = "the data and the objective give", feature_configs(dataset, names)
        encoder = replace(
            config.encoder, vocab_size=dataset.vocabulary.size, attention=objective.attention, features=features
        )
    else:
        source, dropout = f"init {config.init} has", config.encoder_dropout
        encoder = replace(grown_config(init.config, dataset), attention=objective.attention)
        encoder = encoder if dropout is None else replace(encoder, dropout=dropout)
    check_derived(config.encoder, encoder, source)
    check_times(dataset, encoder)
    names = tuple(feature.name for feature in encoder.features)
    check_id_dropout(config.id_dropout, names, None)
    if init is None:
        item_init = resolve_item_init(config.item_init, dataset)
    else:
        item_init = resolve_new_items(config.item_init, dataset, init.config.vocab_size)
    return replace(config, encoder=encoder, features=names, item_init=item_init)


def _by_vectors(config: PretrainConfig, vectors: "NDArray[np.float32] | None") -> PretrainConfig:
    """Settings with the width of item vectors.

    Raises:
        InputError: Settings of item tables that vectors replace, or of vectors where there are none.
    """
    from recsys_bert.user_encoder.text_items import by_vectors

    if vectors is None:
        if config.train_item_vectors:
            raise InputError("train_item_vectors is on, but there are no item vectors. Give item_vectors as well.")
        return config
    if config.features or config.item_init not in ("auto", "random"):
        name, value = ("features", config.features) if config.features else ("item_init", config.item_init)
        raise InputError(f"{name} is {value!r}, but items are their text vectors alone. Leave one of them out.")
    encoder = config.encoder if config.init is not None else by_vectors(config.encoder, vectors)
    return replace(config, encoder=encoder, item_init="auto" if config.init is not None else "random")


def _init(run: Path, dataset: "ClickDataset", vectors: "NDArray[np.float32] | None") -> "Encoder":
    """Load the encoder that is trained on, of this log or, of items by text, of another."""
    from recsys_bert.user_encoder.checkpoint import load_encoder
    from recsys_bert.user_encoder.text_items import load_for_other_log

    return load_encoder(run, dataset).encoder if vectors is None else load_for_other_log(run, dataset, vectors)


def _encoder(
    config: PretrainConfig,
    dataset: "ClickDataset",
    init: "Encoder | None",
    vectors: "NDArray[np.float32] | None",
) -> "Encoder":
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import grown_from
    from recsys_bert.user_encoder.item_init import init_items
    from recsys_bert.user_encoder.text_items import place_vectors

    if init is not None and config.init is not None:
        encoder = grown_from(init, config.encoder, dataset, config.item_init, config.init)
    else:
        encoder = Encoder(config.encoder)
        init_items(encoder, dataset, config.item_init)
    if vectors is not None:
        place_vectors(encoder, vectors, dataset.vocabulary.first_item, config.train_item_vectors)
    return encoder


def _teacher(config: PretrainConfig, run: Path, objective: "Objective", dataset: "ClickDataset") -> "TokenPrediction":
    from recsys_bert.user_encoder.checkpoint import load_encoder

    teacher = load_encoder(run, dataset)
    if teacher.known is not dataset:
        raise InputError(
            f"teacher {run} knows {teacher.encoder.config.vocab_size - dataset.vocabulary.first_item:,} of the "
            f"{dataset.vocabulary.n_items:,} items of {dataset.folder}. Give one that was trained on this log."
        )
    if type(teacher.objective) is not type(objective):
        raise InputError(
            f"teacher {run} was pretrained with objective {teacher.objective_name!r}, this run has "
            f"{config.objective!r}; give both the same."
        )
    if (longest := teacher.encoder.config.max_len) < config.encoder.max_len:
        raise InputError(
            f"teacher {run} reads {longest} events at most, this run {config.encoder.max_len}; set encoder.max_len to "
            f"{longest} or less."
        )
    return teacher.prediction


def _miner(training: Training, ranker: "EncoderRanker") -> "HardNegativeMiner | None":
    from recsys_bert.retrieval.index_config import IndexConfig
    from recsys_bert.retrieval.negatives import HardNegativeMiner

    item_loss, train = training.pretrained.prediction.item_loss, training.config.train
    if not item_loss.mines:
        return None
    n_steps = train.epochs * -(-training.batches.steps // train.accumulate)
    return HardNegativeMiner(training.module, item_loss, ranker, training.dataset, IndexConfig(), n_steps)


def _contrast(config: PretrainConfig) -> "Contrast | None":
    from recsys_bert.encoder.parts import build
    from recsys_bert.objectives.contrast import CONTRASTS

    if not config.has_second_loss:
        return None
    contrast: Contrast = build("second loss", config.second_loss, CONTRASTS, options=config.second_loss_options)
    return contrast


def _batches(
    config: PretrainConfig,
    dataset: "ClickDataset",
    objective: "Objective",
    sampler: "NegativeSampler | None",
    contrast: "Contrast | None",
    times: bool,
    types: bool,
) -> "HistoryBatches":
    from recsys_bert.clicks.batches import HistoryBatches
    from recsys_bert.objectives.contrast.contrast import ViewBatches
    from recsys_bert.user_encoder.batches import history_sequences, item_table
    from recsys_bert.user_encoder.same_target import HistoriesByTarget

    vocabulary = dataset.vocabulary
    table, codes = item_table(vocabulary), dataset.event_type_codes(config.target_types)
    views: ViewBatches | None = None
    types = types or len(codes) > 0
    if contrast is not None:
        longest = config.encoder.max_len - int(objective.appends_mask)
        same_target = HistoriesByTarget(dataset, codes, longest, times=times, event_types=types)
        views = ViewBatches(contrast, table, same_target, appends_mask=objective.appends_mask)

    def make(crops: "Crops", random: Any) -> dict[str, Any]:
        sequences = history_sequences(crops, vocabulary, codes)
        batch = objective.make_batch(sequences, table, random)
        if crops.weights is not None and "weights" not in batch:
            raise InputError(
                f"objective {config.objective!r} gives no weights of its targets, and this log has event weights. Add "
                "sequences.target_weights(index) to its batch, or pass event_weights False."
            )
        if sampler is not None:
            batch["users"] = crops.users
            sampler.add_to(batch, crops.items, random)
        if views is not None:
            views.add_to(batch, sequences, random)
        return batch

    return HistoryBatches(
        dataset.histories,
        make,
        batch_size=config.train.batch_size,
        length=config.encoder.max_len + objective.extra_events,
        crop=config.crop,
        times=times,
        weights=config.event_weights,
        event_types=types,
        seed=config.train.seed,
    )
