"""Classify new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out
from pipelines.text.answers import NewFileConfig, check_one_source, trained_settings
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the labels of new texts."""

    run: Path
    """Run folder of `text classify train`."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes."""

    file: Path | None = None
    """File with texts, instead."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    text: str | None = None
    """Column with the text; None: as in training."""

    all_labels: bool = False
    """Add the probability of every label."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.texts)
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Classify, and print or write the labels.

    Returns:
        Counts: texts, lines left out, texts shortened.
    """
    import numpy as np

    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.data import read_table
    from pipelines.text.answers import show, typed_in
    from pipelines.text.classify import train

    classifier = Classifier.load(config.run)
    trained = trained_settings(train.Config, config.run)
    name = config.text or trained.text
    if config.file is None:
        table = typed_in(**{name: config.texts})
    else:
        how = config.read.like(trained.data)
        if config.read.format is None and how.format == "label_text":
            raise InputError(
                f"the model was trained on lines that begin with a label; do those of {config.file} as well? Set "
                "--read.format label_text if they do, --read.format tsv --read.columns text if they are texts alone."
            )
        table = read_table(config.file, how, [name], flags="read")
    inputs = classifier.inputs(table.texts[name])
    probabilities = classifier.probabilities(inputs)
    predicted, rows = classifier.predicted(probabilities), []
    for n, text in enumerate(table.texts[name]):
        classes = np.flatnonzero(predicted[n])
        classes = classes[np.argsort(-probabilities[n, classes], kind="stable")]
        labels, shares = [classifier.names[c] for c in classes], [float(probabilities[n, c]) for c in classes]
        row: dict[str, Any] = {"line": table.lines[n]}
        if classifier.multi_label:
            row |= {"labels": labels, "probabilities": shares}
        else:
            row |= {"label": labels[0], "probability": shares[0]}
        if config.all_labels:
            row |= {f"p({label})": float(p) for label, p in zip(classifier.names, probabilities[n], strict=True)}
        rows.append(row | {"text": text})
    summary = {"run": str(config.run), "texts": len(table), "left_out": table.left_out, "counted": inputs.counts}
    return show(rows, summary, config.out, config.json)
