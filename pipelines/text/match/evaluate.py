"""Measure a trained matcher on labelled pairs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig, check_threshold
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure a matcher on pairs: yes or no by its threshold and, of a bi-encoder, finding matches among all texts."""

    run: Path
    """Run folder of `text match train`."""

    file: Path
    """File with pairs, and labels where the matcher was trained with them."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """How it is read."""

    first: str | None = None
    """Column with the first text; None: as in training."""

    second: str | None = None
    """Column with the second text; None: as in training."""

    label: str | None = None
    """Column with 1 for a match and 0 for none; None: as in training."""

    threshold: float | None = None
    """Score from which on a pair matches; None: as chosen in training."""

    out: Path | None = None
    """JSON file to write the figures to."""

    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Measure and tell.

    Returns:
        The figures, the threshold, and what was left out or shortened.

    Raises:
        InputError: A threshold is given for pairs without labels, or the run or the file cannot be used.
    """
    import json

    from nlp_tasks.data import read_table
    from nlp_tasks.matching.matcher import Matcher, not_yes_or_no, text_ids, yes_or_no
    from pipelines.text.match import train
    from recsys_bert.files import write_json
    from recsys_bert.settings import read_config

    matcher = Matcher.load(config.run, config.threshold)
    trained = read_config(train.Config, config.run / "config.toml")
    columns = [config.first or trained.first, config.second or trained.second]
    label = config.label or trained.label
    if config.threshold is not None and label is None:
        raise InputError(
            "threshold is given, but no label: without labels nothing is measured by it. Name their column."
        )
    table = read_table(config.file, config.read.like(trained.data), columns, label, flags="read")
    if table.labels is not None:
        table = table.without(not_yes_or_no(table.labels), config.read.bad_rows)
    first, second = (table.texts[column] for column in columns)
    pairs = matcher.inputs(first, second)
    labels = None if table.labels is None else yes_or_no(table.labels)
    found = matcher.metrics(pairs, labels, text_ids(first, second)) | {"threshold": matcher.threshold}
    found |= {"left_out": table.left_out, "counted": pairs.counts}
    if config.out is not None:
        write_json(config.out, found)
    print(json.dumps(found) if config.json else _as_text(found))
    return found


def _as_text(found: dict[str, Any]) -> str:
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found.items() if isinstance(value, float))
    counts = [f"  {name}: {n:,}" for name, n in {**found["left_out"], **found["counted"]}.items()]
    return "\n".join([f"{shown} on {found['examples']:,} pairs", *counts])
