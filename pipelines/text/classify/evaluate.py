"""Evaluate a classifier on labelled texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig, trained_settings


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate a classifier on labelled texts: metrics overall and per class, and confusions."""

    run: Path
    """Run folder of `text classify train`."""

    file: Path
    """File with texts and labels."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    text: str | None = None
    """Column with the text; None: as in training."""

    label: str | None = None
    """Column with the label; None: as in training."""

    out: Path | None = None
    """Folder for `report.json`, `report.txt` and, with the extra `report` installed, `confusion.svg`."""

    json: bool = False
    """Print one JSON object on stdout instead of tables."""

    def __post_init__(self) -> None:
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Evaluate and print.

    Returns:
        Metrics, and counts of lines left out and texts shortened.
    """
    import json
    import sys

    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.classification.data import unseen
    from nlp_tasks.data import read_table
    from pipelines.text.classify import train
    from pipelines.text.classify.report import as_text, write

    classifier = Classifier.load(config.run)
    trained = trained_settings(train.Config, config.run)
    separator = trained.label_separator if classifier.multi_label else None
    text, label = config.text or trained.text, config.label or trained.label
    table = read_table(config.file, config.read.like(trained.data), [text], label, separator, flags="read")
    table = table.without(unseen(table.labels or [], classifier.labels))
    inputs = classifier.inputs(table.texts[text])
    metrics = classifier.evaluate(inputs, table.labels or [])
    metrics |= {"left_out": table.left_out, "counted": inputs.counts}
    if config.out is not None:
        write(config.out, metrics)
        print(f"the report is in {config.out}", file=sys.stderr)
    print(json.dumps(metrics, ensure_ascii=False) if config.json else as_text(metrics))
    return metrics
