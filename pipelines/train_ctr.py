"""Train a click model on impressions, measure it, and keep what it takes to score new ones."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.ctr.config import ClickModelConfig, FeaturesConfig, ImpressionsConfig, rule_parts
from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.ctr.data import ClickData
    from recsys_bert.ctr.impressions import Impressions
    from recsys_bert.ctr.layout import Layout
    from recsys_bert.ctr.model import ClickModel


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a click-through-rate model on impressions with labels."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: Path | None = None
    """Folder that `prepare` wrote: histories before each impression, and side features. None: impressions alone."""

    impressions: ImpressionsConfig = field(default_factory=ImpressionsConfig)
    """Where impressions are, and which of them train."""

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    """Which columns become fields."""

    model: ClickModelConfig = field(default_factory=ClickModelConfig)
    """Embeddings, head and history."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=1024, patience=3, monitor="auc"))
    """How it is trained; the epoch with the best validation AUC is kept."""

    def __post_init__(self) -> None:
        self.impressions.check_files()
        if self.model.encoded and (self.data is None or not self.model.history_len):
            raise InputError("model.encoder reads histories: give the prepared click log (--data) and history_len > 0.")
        used = {*self.features.categorical, *self.features.numeric, *self.features.multi}
        if (rule := rule_parts(self.impressions.label)[0]) in used:
            raise InputError(f"{rule!r} gives the label, so it cannot be a feature. Take it out of --features.")
        if not used and self.impressions.user is None and self.impressions.item is None:
            raise InputError(
                "nothing of the impressions is read: name --impressions.user, --impressions.item or columns under "
                "--features."
            )
        if self.train.auxiliary.weight:
            raise InputError(
                "train.auxiliary.weight is for encoders that predict items or labels themselves; leave it out."
            )


def run(config: Config) -> dict[str, Any]:
    """Train, look at the test once, and write ``model.safetensors``, ``features`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import tempfile

    import torch

    from recsys_bert.ctr.features import Features
    from recsys_bert.ctr.model import save
    from recsys_bert.ctr.score import can_remember, remember_histories
    from recsys_bert.files import write_json
    from recsys_bert.progress import step
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.run_folder import begin, check_unchanged, is_first_process

    dataset = _prepared(config)
    with step("reading impressions"):
        splits = _splits(config, dataset)
        features = Features.fit(splits["train"].frame, config.features, id_fields(config))
        data = {name: encoded(config, shown, features, dataset) for name, shown in splits.items()}
    torch.manual_seed(config.train.seed)
    model = build_model(config, model_layout(config, features.layout, dataset), dataset)
    data = {name: replace(part, timed=model.reads_times) for name, part in data.items()}
    check_table(model, config.train)
    _check_batches(config, model, len(data["train"]))
    read = _read(config, dataset)
    begin(config.out, config)  # after everything that bad input can stop
    check_unchanged(config.out, read)
    if is_first_process():
        features.save(config.out / "features")
    with tempfile.TemporaryDirectory() as cache:
        if can_remember(model):
            for name, part in data.items():
                data[name] = remember_histories(model, part, config.model.history_len, Path(cache) / f"{name}.npy")
        results = _fit(config, model, data)
    results["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    results["impressions"] = {name: len(part) for name, part in data.items()}
    results["counted"] = {name: part.counts for name, part in data.items()}
    results["fields"] = model.field_names
    if dataset is not None:
        results["prepared"] = dataset.fingerprint
    if is_first_process():
        save(config.out, model)
        _keep_encoder(config, model, dataset)
        write_json(config.out / "metrics.json", results)
        _tell(results, config.out)
    return results


def _check_batches(config: Config, model: "ClickModel", n: int) -> None:
    """Refuse batches that batch norm learns nothing from; batches differ in size by at most one."""
    from torch import nn

    size = config.train.batch_size
    if n // -(-n // size) < 2 and any(isinstance(part, nn.BatchNorm1d) for part in model.modules()):
        raise InputError(
            f"train.batch_size is {size}, which cuts {n:,} impressions into batches some of which hold a single one; "
            "this model normalises over a batch, which takes two. Choose a larger batch size."
        )


def _tell(results: dict[str, Any], out: Path) -> None:
    for part in ("validation", "test"):
        if part in results:
            shown = {"AUC": "auc", "GAUC": "gauc", "log loss": "log_loss", "calibration error": "calibration_error"}
            metrics = [f"{name} {results[part][key]:.4f}" for name, key in shown.items() if key in results[part]]
            print(f"{part}, {results['impressions'][part]:,} impressions: {', '.join(metrics)}", file=sys.stderr)
    kept = f"kept epoch {results['best_epoch']} of {results['epochs']}"
    print(f"{kept}; {out} holds the model, metrics.json says more ({results['seconds']:.0f} s)", file=sys.stderr)


def _fit(config: Config, model: "ClickModel", data: "dict[str, ClickData]") -> dict[str, Any]:
    """Train on one split, choose the epoch on the second, measure both held-out ones."""
    from recsys_bert.ctr.data import ClickBatches
    from recsys_bert.ctr.model import ClickLoss, learning_rates
    from recsys_bert.training.loop import fit

    summary = fit(
        ClickLoss(model, config.model.embedding_l2),
        ClickBatches(data["train"], config.train.batch_size, config.model.history_len, config.train.seed),
        config.train,
        config.out,
        validate=lambda _: measured(model, data["validation"], config),
        groups=learning_rates(model, config.model),
        label=f"training {config.model.head}",
    )
    results: dict[str, Any] = {
        name: measured(model, data[name], config) for name in ("validation", "test") if name in data
    }
    return results | {
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
    }


def id_fields(config: Config) -> list[str]:
    """Columns of ids that are fields of their own."""
    named = {"user": config.impressions.user, "item": config.impressions.item}
    return [column for kind in config.features.ids if (column := named[kind]) is not None]


def feature_columns(config: Config) -> list[str]:
    """Columns that features are made of, apart from ids."""
    return [*config.features.categorical, *config.features.numeric, *config.features.multi]


def _prepared(config: Config) -> "ClickDataset | None":
    from recsys_bert.clicks.dataset import open_dataset

    return None if config.data is None else open_dataset(config.data)


def _read(config: Config, dataset: "ClickDataset | None") -> dict[Path, str]:
    """A digest of everything that the run reads, by path."""
    from recsys_bert.clicks.prepare.files import find_files
    from recsys_bert.files import fingerprint
    from recsys_bert.user_encoder.unchanged import feature_digests, log_digest, weights_fingerprint

    shown = config.impressions
    paths = (shown.log, shown.train, shown.validation, shown.test, shown.libfm_fields)
    found = {path: fingerprint(find_files(str(path))) for path in paths if path is not None}
    if dataset is not None:
        found |= {dataset.folder: log_digest(dataset), **feature_digests(dataset)}
    if config.model.encoder is not None and config.model.encoded:
        found[config.model.encoder] = weights_fingerprint(config.model.encoder)
    return found


def _splits(config: Config, dataset: "ClickDataset | None") -> dict[str, "Impressions"]:
    """Read the splits; with a prepared log that was cut by time, cut where it was."""
    from recsys_bert.ctr.impressions import read_splits

    split = {} if dataset is None else dataset.manifest.split
    borders = (split["validation_from"], split["test_from"]) if "test_from" in split else None
    splits = read_splits(config.impressions, feature_columns(config), borders)
    if dataset is not None and splits["validation"].times is not None:
        first = int(splits["validation"].times.min())
        _check_cut(config, first, None if borders is None else borders[0])
    _check_labels(config, splits)
    return splits


def _check_labels(config: Config, splits: dict[str, "Impressions"]) -> None:
    """Refuse, before any training, a part that nothing can be learned or measured on."""
    for name, part in splits.items():
        if part.labels is not None and (part.labels == part.labels[0]).all():
            kind = "clicks" if part.labels[0] else "non-clicks"
            raise InputError(
                f"all {len(part):,} impressions of {name} are {kind} by {config.impressions.label!r}; both kinds are "
                "needed. Set --impressions.label, or cut elsewhere."
            )


def _check_cut(config: Config, first: int, trained_until: int | None) -> None:
    """Refuse, or tell of, a click log whose training part knows what happened after validation begins."""
    if trained_until is None:
        print(
            f"{config.data} was not cut by time: its vocabulary, and an encoder trained on it, may know events from "
            "after an impression. Histories do not. Prepare with --split.kind time for figures without that.",
            file=sys.stderr,
        )
    elif trained_until > first:
        raise InputError(
            f"the training part of {config.data} ends at {trained_until} (unix seconds), but validation impressions "
            f"begin at {first}: vocabulary and encoder would know their future. Prepare with an earlier "
            "--split.validation-from."
        )


def encoded(config: Config, shown: "Impressions", features: Any, dataset: "ClickDataset | None") -> "ClickData":
    """Encode one split; with ``history_len`` 0, the prepared log gives side features only."""
    from recsys_bert.ctr.data import encode

    data = encode(shown, config.impressions, features, model_layout(config, features.layout, dataset), dataset)
    return data if config.model.history_len else replace(data, histories=None)


def model_layout(config: Config, own: "Layout", dataset: "ClickDataset | None") -> "Layout":
    """Fields of the impressions' columns, then those of the side tables."""
    from recsys_bert.ctr.data import side_fields
    from recsys_bert.ctr.layout import Layout

    return Layout((*own.fields, *([] if dataset is None else side_fields(dataset, config.features))))


def build_model(
    config: Config, layout: "Layout", dataset: "ClickDataset | None", encoder_run: Path | None = None
) -> "ClickModel":
    """Build the model with fresh weights, but for a pretrained encoder's.

    Args:
        config: The run's settings.
        layout: All fields.
        dataset: The click log.
        encoder_run: Where the encoder is loaded from instead of ``model.encoder``.

    Raises:
        InputError: The encoder belongs to another vocabulary or is too short, or a part is not known.
    """
    from recsys_bert.ctr.history import EncodedItems, PlainItems
    from recsys_bert.ctr.model import ClickModel

    settings = config.model
    reader: PlainItems | EncodedItems | None = None
    if dataset is not None and settings.history_len and not settings.encoded:
        reader = PlainItems(dataset.vocabulary.size, settings.dim, settings.init_std)
    elif dataset is not None and settings.encoded:
        prediction, objective = _load_prediction(encoder_run or settings.encoder, dataset)
        longest = prediction.encoder.config.max_len - (objective == "masked")
        if settings.history_len > longest:
            raise InputError(
                f"model.history_len is {settings.history_len}; this encoder reads {longest} items at most."
            )
        reader = EncodedItems(prediction, objective == "masked", settings.dim, settings.encoder_mode == "frozen")
    return ClickModel(layout, settings, reader)


def _load_prediction(run: Path | None, dataset: "ClickDataset") -> tuple[Any, str]:
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.user_encoder.checkpoint import load_encoder

    assert run is not None  # settings.encoded says so
    encoder, objective, loss = load_encoder(run, dataset)
    tables = {feature.name: dataset.item_features[feature.name] for feature in encoder.config.features}
    return TokenPrediction(encoder, loss, first_row=dataset.vocabulary.first_item, features=tables), objective


def _keep_encoder(config: Config, model: "ClickModel", dataset: "ClickDataset | None") -> None:
    """Write the encoder, fine-tuned or not, so that scoring does not depend on the run that it came from."""
    from recsys_bert.ctr.history import EncodedItems
    from recsys_bert.files import replacing
    from recsys_bert.user_encoder.checkpoint import save_encoder

    if isinstance(model.reader, EncodedItems) and dataset is not None:
        with replacing(config.out / "encoder") as aside:
            save_encoder(aside, model.reader.prediction, "masked" if model.reader.masked else "next", dataset)


def measured(model: "ClickModel", data: "ClickData", config: Config) -> dict[str, float]:
    """AUC, log loss, calibration error and, where users are known, GAUC."""
    from recsys_bert.ctr.score import probabilities
    from recsys_bert.evaluation.classification import classification_metrics

    assert data.labels is not None  # read_splits reads labels
    return classification_metrics(data.labels, probabilities(model, data, config.model.history_len), data.groups)
