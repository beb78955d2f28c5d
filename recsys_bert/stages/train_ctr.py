"""Train a CTR model on impressions."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.text_feature import with_text
from recsys_bert.stages.train_ctr_config import TrainCTRConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.frames import Frame
    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.ctr.data import CTRData
    from recsys_bert.ctr.features import Features
    from recsys_bert.ctr.impressions import Impressions
    from recsys_bert.ctr.model import CTRModule


def train_ctr(
    impressions: "Frame | Path | str",
    *,
    dataset: "ClickDataset | None" = None,
    validation: "Frame | Path | str | None" = None,
    test: "Frame | Path | str | None" = None,
    init: "Path | str | CTRModel | None" = None,
    out: Path | str | None = None,
    config: TrainCTRConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> "CTRModel":
    """Train a CTR model, select the epoch on validation impressions and evaluate it once on test impressions.

    Args:
        impressions: Table of any library, or a file: training impressions; all of them, cut by time, where
            ``validation`` is None.
        dataset: The prepared log that histories and side features come from; None: impressions alone.
        validation: Validation impressions.
        test: Test impressions; with ``validation``.
        init: Run of ``train_ctr``, or what it returned, that goes on: its columns, features and model are taken over,
            its values, items and users keep their weights where log and impressions have grown, numbers keep their
            scale; the optimiser starts anew. ``model.encoder`` may name today's encoder in place of its own.
        out: Run folder; an interrupted run is resumed there. None: nothing is kept on disk.
        config: The settings.
        allow_parts: Import parts from outside (``module:Class``) that ``model.encoder`` names; their code runs.
        **settings: Or the settings as keywords, named as in a recipe: ``columns``, ``features``, ``model``, ``train``
            …, dicts or config objects.

    Returns:
        The model, with ``metrics`` of the run.

    Raises:
        InputError: Settings, impressions and prepared log do not fit together; before anything is trained or written.
    """
    from recsys_bert.ctr.baselines.beside import baseline_metrics
    from recsys_bert.ctr.growth import continued_config
    from recsys_bert.ctr.impressions import as_source
    from recsys_bert.ctr.splits import draw_training, read_splits
    from recsys_bert.ctr.views import fit_part
    from recsys_bert.encoder.parts import allowing_parts
    from recsys_bert.files import write_json
    from recsys_bert.progress import step
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.hidden_test import visible
    from recsys_bert.training.run_folder import begin, check_unchanged, is_first_process, run_folder

    config = make_config(TrainCTRConfig, config, settings)
    with allowing_parts(allow_parts):
        start = None if init is None else _start(init, dataset)
    new_encoder = None if start is None or config.model.encoder == start.config.model.encoder else config.model.encoder
    config = config if start is None else continued_config(config, start.config, init)
    config.check_inputs(validation, test, dataset is not None)
    if dataset is not None:
        dataset = _with_text(dataset, config, start)
    config = config.resolved(dataset is not None)
    parts = {"train": impressions, "validation": validation, "test": test}
    sources = {name: as_source(source, name) for name, source in parts.items() if source is not None}
    config.files.check_used([source for source in sources.values() if isinstance(source, Path)])
    with step("reading impressions"):
        splits = visible(read_splits(sources, config, config.split, dataset))
        every = splits["train"]
        splits["train"] = draw_training(every, config, config.train_fraction, config.train.seed)
        if config.model.encoder is not None:
            _warn_of_overlap(config.model.encoder, splits["validation"].times)
        known = splits["train"] if config.pretrain.objective == "none" else every
        with allowing_parts(allow_parts):
            model = _model(config, known, dataset, start, new_encoder)
        data = {name: model.encode(part) for name, part in splits.items()}
    module, history_len = model.module, model.history_len
    check_table(module, config.train)
    _check_batches(config, module, len(data["train"]))
    if start is None and module.wide is not None:
        fit_part(module.wide, data, history_len)
    others = {}
    if config.baselines:
        others["baselines"] = baseline_metrics(config.baselines, data, config.columns.tasks, dataset, history_len)
    pretrain = None if config.pretrain.objective == "none" else _pretraining(config, model, every)
    contents = {} if out is None else _fingerprints(sources, config, dataset)
    if start is not None:
        contents[Path("init")] = state_fingerprint(start)
    with run_folder(out) as folder, begin(folder, config):  # after everything that bad input can stop
        check_unchanged(folder, contents)
        if pretrain is not None:
            others["pretraining"] = pretrain(folder / "pretraining")
        model.metrics = _fit(config, module, data, folder) | others
        if is_first_process() and out is not None:
            model.save(folder)
            write_json(folder / "metrics.json", model.metrics, sealed=True)
    if is_first_process():
        _print_summary(model, None if out is None else folder)
    return model


def _model(
    config: TrainCTRConfig,
    impressions: "Impressions",
    dataset: "ClickDataset | None",
    start: "CTRModel | None",
    encoder: Path | None,
) -> "CTRModel":
    """Model with fresh weights, or ``start`` grown by what is new.

    Args:
        config: The settings.
        impressions: Those whose values the model knows.
        dataset: The prepared log.
        start: The model that goes on.
        encoder: Run of an encoder in place of that of ``start``; None keeps it.
    """
    import torch

    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.ctr.data import fit_features
    from recsys_bert.ctr.growth import grown_features, grown_module

    features = fit_features(impressions.frame, config, dataset)
    torch.manual_seed(config.train.seed)
    if start is None:
        return CTRModel(_fresh_module(config, features, dataset), features, config, dataset)
    features = grown_features(start.features, features)
    return CTRModel(grown_module(start, config, features, dataset, encoder), features, config, dataset)


def _fresh_module(config: TrainCTRConfig, features: "Features", dataset: "ClickDataset | None") -> "CTRModule":
    """Module with fresh weights, but for vectors that the log gives without training."""
    from recsys_bert.ctr.build import build_module
    from recsys_bert.ctr.history import PlainItems
    from recsys_bert.ctr.views import ViewVectors
    from recsys_bert.user_encoder.item_init import init_table

    module = build_module(config, features, dataset)
    if dataset is not None and isinstance(module.reader, PlainItems):
        init_table(module.reader.items.weight, dataset, config.model.item_init, config.model.init_std)
    if dataset is not None and module.wide is not None:
        module.wide.place(ViewVectors.of(dataset))
    return module


def _pretraining(
    config: TrainCTRConfig, model: "CTRModel", impressions: "Impressions"
) -> "Callable[[Path], dict[str, Any]]":
    """Make what pretrains the model on the fields of impressions, in a folder.

    Raises:
        InputError: They cannot be pretrained on.
    """
    from recsys_bert.ctr.pretraining import build_objective, pretrain_fields

    encoded = model.encode(replace(impressions, labels=None))
    data = replace(encoded, views=None)  # no objective reads the linear part
    objective = build_objective(config.pretrain, model.module, data, config.columns.item)
    return partial(pretrain_fields, config.pretrain, config.train, objective, data, model.history_len)


def _with_text(dataset: "ClickDataset", config: TrainCTRConfig, start: "CTRModel | None") -> "ClickDataset":
    """The log with the text of its items, if that is wanted; that of the model that goes on, if it has any."""
    added = {} if start is None or start.dataset is None else start.dataset.added_dense
    for name, source in added.items():
        if config.text is not None:
            raise InputError(f"text is {config.text!r}, but init brings its own; leave it out.")
        dataset = dataset.with_dense(name, source)
    return with_text(dataset, config.text, config.text_dim)


def _start(init: "Path | str | CTRModel", dataset: "ClickDataset | None") -> "CTRModel":
    """Load the model that goes on for the log of today."""
    import tempfile

    from recsys_bert.ctr.checkpoint import CTRModel, load_model

    if not isinstance(init, CTRModel):
        return load_model(Path(init), dataset)
    with tempfile.TemporaryDirectory(prefix="recsys-bert-ctr-") as folder:
        init.save(folder)
        return load_model(Path(folder), dataset)


def state_fingerprint(model: "CTRModel") -> str:
    """Hash of the weights of a model."""
    from hashlib import sha256

    digest = sha256()
    for name, tensor in model.module.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _fit(config: TrainCTRConfig, module: "CTRModule", data: "dict[str, CTRData]", folder: Path) -> dict[str, Any]:
    """Train, and return the metrics of the run."""
    from recsys_bert.ctr.data import CTRBatches
    from recsys_bert.ctr.inference import cache_histories, can_cache, evaluate
    from recsys_bert.ctr.model import CTRLoss, learning_rates
    from recsys_bert.files import work_folder
    from recsys_bert.training.loop import fit

    history_len, tasks = config.model.history_len or 0, config.columns.tasks
    weights = [config.model.task_weights.get(task, 1.0) for task in tasks]
    with work_folder(folder / "histories") as cache:
        if can_cache(module):
            for name, part in data.items():
                data[name] = cache_histories(module, part, history_len, cache / f"{name}.npy")
        summary = fit(
            CTRLoss(module, config.model.embedding_l2, weights),
            CTRBatches(data["train"], config.train.batch_size, history_len, config.train.seed),
            config.train,
            folder,
            validate=lambda _: evaluate(module, data["validation"], history_len, tasks),
            groups=learning_rates(module, config.model),
            label=f"training {config.model.head}",
        )
        metrics: dict[str, Any] = {
            name: evaluate(module, data[name], history_len, tasks) for name in ("validation", "test") if name in data
        }
    return metrics | {
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "impressions": {name: len(part) for name, part in data.items()},
        "counts": {name: part.counts for name, part in data.items()},
        "fields": module.field_names,
    }


def _check_batches(config: TrainCTRConfig, module: "CTRModule", n: int) -> None:
    """Refuse batches of one impression where batch norm needs two; batches differ in size by at most one."""
    from torch import nn

    size = config.train.batch_size
    if n // -(-n // size) < 2 and any(isinstance(part, nn.BatchNorm1d) for part in module.modules()):
        raise InputError(
            f"train.batch_size is {size}, which cuts {n:,} impressions into batches some of which hold a single one; "
            "this model normalises over a batch, which takes two. Choose a larger batch size."
        )


def _fingerprints(
    sources: "dict[str, pl.DataFrame | Path]", config: TrainCTRConfig, dataset: "ClickDataset | None"
) -> dict[Path, str]:
    """Fingerprints of all inputs of the run, by their role."""
    from recsys_bert.ctr.impressions import source_fingerprint
    from recsys_bert.files import fingerprint
    from recsys_bert.user_encoder.unchanged import feature_digests, log_digest, weights_fingerprint

    contents = dict.fromkeys(map(Path, ("impressions", "validation", "test", "data")), "absent")
    for name, source in sources.items():
        contents[Path("impressions" if name == "train" else name)] = source_fingerprint(source)
    if config.files.libfm_fields is not None:
        contents[Path("libfm_fields")] = fingerprint([config.files.libfm_fields])
    if dataset is not None:
        contents[Path("data")] = log_digest(dataset)
        contents |= {Path(path.name): digest for path, digest in feature_digests(dataset).items()}
    if config.model.encoder is not None:
        contents[Path("encoder")] = weights_fingerprint(config.model.encoder)
    return contents


def _warn_of_overlap(encoder: Path, times: "NDArray[np.int64] | None") -> None:
    """Print a warning where the encoder was trained on events at or after the validation impressions."""
    from recsys_bert.user_encoder.trained_on import overlap_with_times

    first = None if times is None else int(times.min())
    if note := overlap_with_times(encoder, first, "validation and test impressions"):
        print(f"warning: {note}", file=sys.stderr)


def _print_summary(model: "CTRModel", out: Path | None) -> None:
    from recsys_bert.ctr.describe import describe_metrics

    metrics = model.metrics
    for part in ("validation", "test"):
        if part in metrics:
            n = metrics["impressions"][part]
            for task, text in describe_metrics(metrics[part], model.tasks):
                print(f"{part}, {n:,} impressions{', ' if task else ''}{task}: {text}", file=sys.stderr)
            for name, baseline in metrics.get("baselines", {}).items():
                for task, text in describe_metrics(baseline[part], model.tasks):
                    print(f"  beside it {name}{', ' if task else ''}{task}: {text}", file=sys.stderr)
    epoch = f"kept epoch {metrics['best_epoch']} of {metrics['epochs']} in {metrics['seconds']:.0f} s"
    where = "" if out is None else f"; wrote {out / 'ctr'} and {out / 'metrics.json'}"
    print(epoch + where, file=sys.stderr)
