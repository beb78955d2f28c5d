"""A stage of the library as a comparison calls it."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.comparison.beside import baseline_metrics
from recsys_bert.stages.comparison.rankings import ranking_metrics
from recsys_bert.stages.comparison.runs import HeldOutMetrics, Trainer, TrainingRun, seed_name, trains
from recsys_bert.training.metrics_file import read_metrics
from recsys_bert.user_encoder.unchanged import log_digest


def stage_trainer(
    train: Callable[..., Any], data: tuple[Any, ...], evaluate: Callable[[Any], Mapping[str, Any]] | None
) -> Trainer:
    """Adapt a stage function to the comparison; see ``compare``.

    Raises:
        InputError: It has no parameter ``config`` with a config dataclass.
    """
    kind = config_class(train)

    def configure(values: dict[str, Any], folder: Path, seed: int) -> Any:
        return make_config(kind, None, nested({**values, seed_name(kind): seed}))

    def fit(run: TrainingRun) -> tuple[Any, dict[str, Any]]:
        model = train(*data, out=run.out, config=run.config)
        return model, _summary(model, run)

    def test(run: TrainingRun, model: Any) -> HeldOutMetrics:
        if evaluate is None:
            return ranking_metrics(model, _log_of(data))
        return HeldOutMetrics(dict(evaluate(model)), baseline_metrics(getattr(model, "metrics", None) or {}))

    def fingerprint(run: TrainingRun) -> str:
        return "" if evaluate else str(log_digest(_log_of(data)))

    return Trainer(getattr(train, "__name__", "training"), configure, fit, test, fingerprint)


def _log_of(data: tuple[Any, ...]) -> Any:
    """The prepared log among the data of a stage; the first of them where none is one."""
    return next((one for one in data if isinstance(one, ClickDataset)), data[0] if data else None)


def config_class(train: Callable[..., Any]) -> type[Any]:
    """Config dataclass of a stage: the annotation of its parameter ``config``."""
    parameter = inspect.signature(train).parameters.get("config")
    annotation = None if parameter is None else parameter.annotation
    options = (annotation, *typing.get_args(annotation))
    kind = next((one for one in options if isinstance(one, type) and is_dataclass(one)), None)
    if kind is None:
        raise InputError("the training function has no parameter config with a config dataclass as its type.")
    return kind


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name as nested dicts; a shorter name comes before those below it."""
    nested: dict[str, Any] = {}
    for name, value in sorted(values.items(), key=lambda item: item[0].count(".")):
        *tables, last = name.split(".")
        table = nested
        for key in tables:
            inner = table.get(key, {})
            as_dict = (
                {field.name: getattr(inner, field.name) for field in fields(inner)} if is_dataclass(inner) else inner
            )
            table[key] = table = dict(as_dict)
        table[last] = value
    return nested


def _summary(model: Any, run: TrainingRun) -> dict[str, Any]:
    """Costs of a training: from the model's ``summary`` or ``metrics``, else from the log of the run."""
    if not trains(run.config):
        return dict(model.summary)
    lines = read_metrics(run.out / "metrics.jsonl")
    costs = getattr(model, "summary", None) or getattr(model, "metrics", None) or {}
    monitor = run.config.train.monitor
    validated = [line for line in lines if monitor in line]
    best = max(validated, key=lambda line: line[monitor], default={})
    logged = {
        "seconds": max((line.get("seconds", 0.0) for line in lines), default=0.0),
        "parameters": None,
        "epochs": max((line.get("epoch", 0) for line in lines), default=0),
        "best_epoch": best.get("epoch", 0),
    }
    return {name: costs.get(name, value) for name, value in logged.items()}
