"""Evaluate a matcher on pairs of texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig, check_threshold, trained_settings
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate a matcher on pairs: predictions by its threshold and, of a bi-encoder, search among all second texts."""

    run: Path
    """Run folder of `text match train`."""

    file: Path
    """File with pairs, and labels where the matcher was trained with them."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    first: str | None = None
    """Column with the first text; None: as in training."""

    second: str | None = None
    """Column with the second text; None: as in training."""

    label: str | None = None
    """Column with 1 for a match and 0 for none; None: as in training."""

    threshold: float | None = None
    """Similarity from which on a pair matches; None: as tuned in training."""

    out: Path | None = None
    """JSON file for the metrics."""

    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Evaluate and print.

    Returns:
        Metrics, the threshold, and counts of lines left out and texts shortened.

    Raises:
        InputError: A threshold is given for pairs without labels, or the run or the file cannot be used.
    """
    import json

    from nlp_tasks.data import read_table
    from nlp_tasks.matching.data import text_ids, usable_pairs, yes_or_no
    from nlp_tasks.matching.matcher import Matcher
    from pipelines.text.match import train
    from recsys_bert.files import write_json

    matcher = Matcher.load(config.run, config.threshold)
    trained = trained_settings(train.Config, config.run)
    columns = [config.first or trained.first, config.second or trained.second]
    label = config.label or trained.label
    if config.threshold is not None and label is None:
        raise InputError("threshold is given, but no label: without labels it has no effect. Name their column.")
    table = read_table(config.file, config.read.like(trained.data), columns, label, flags="read")
    table = usable_pairs({"test": table})["test"]
    first, second = (table.texts[column] for column in columns)
    pairs = matcher.inputs(first, second)
    labels = None if table.labels is None else yes_or_no(table.labels)
    metrics = matcher.metrics(pairs, labels, text_ids(first, second)) | {"threshold": matcher.threshold}
    metrics |= {"left_out": table.left_out, "counted": pairs.counts}
    if config.out is not None:
        write_json(config.out, metrics)
    print(json.dumps(metrics) if config.json else _as_text(metrics))
    return metrics


def _as_text(metrics: dict[str, Any]) -> str:
    scalars = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
    counts = [f"  {name}: {n:,}" for name, n in {**metrics["left_out"], **metrics["counted"]}.items()]
    return "\n".join([f"{scalars} on {metrics['examples']:,} pairs", *counts])
