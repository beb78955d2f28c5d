"""Metrics and counts of a CTR model on one line each."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys_bert.ctr.config import CTRConfig

METRICS = {"AUC": "auc", "GAUC": "gauc", "log loss": "log_loss", "calibration error": "calibration_error"}


def describe_metrics(metrics: dict[str, float], tasks: Sequence[str] = ("label",)) -> list[tuple[str, str]]:
    """AUC, GAUC, log loss and calibration error on one line, by task; the only task has no name."""
    names = [("", "")] if len(tasks) == 1 else [(task, f"{task}.") for task in tasks]
    return [
        (task, ", ".join(f"{name} {metrics[at + key]:.4f}" for name, key in METRICS.items() if at + key in metrics))
        for task, at in names
    ]


def describe_counts(counts: Mapping[str, int]) -> str:
    """Counts on one line, each after a semicolon."""
    return "".join(f"; {reason}: {count:,}" for reason, count in counts.items() if count)


def describe_model(
    config: CTRConfig, fields: Sequence[str], has_encoder: bool, metrics: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Parts, fields, history, and metrics of each split and task, by title.

    Args:
        config: Resolved settings.
        fields: Fields of an impression.
        has_encoder: Histories are read by a pretrained encoder.
        metrics: Metrics of the run.
    """
    tasks = config.columns.tasks
    parts = f"head {config.model.head}" + ("" if config.model.wide == "none" else f" beside linear {config.model.wide}")
    if len(tasks) > 1:
        parts = f"{config.model.multi_task} for {', '.join(tasks)} on {parts}"
    lines = [("model", parts), ("fields", ", ".join(fields)), ("history", _history(config, has_encoder))]
    return lines + [
        (f"{split} {task}".strip(), text)
        for split in ("validation", "test")
        if split in metrics
        for task, text in describe_metrics(metrics[split], tasks)
    ]


def _history(config: CTRConfig, has_encoder: bool) -> str:
    if not config.model.history_len:
        return "no history"
    mode = config.model.encoder_mode.replace("_", "-")
    init = config.model.item_init
    plain = "item embeddings" + ("" if init == "random" else f" that started from {init}")
    source = f"{mode} encoder" if has_encoder else plain
    events = "events" if config.columns.history is None else f"items of {config.columns.history}"
    return f"last {config.model.history_len} {events} through {source}"
