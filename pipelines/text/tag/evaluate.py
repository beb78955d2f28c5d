"""Evaluate a trained tagger on annotated sentences."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.tag.files import NewSentencesConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Evaluate a tagger on annotated sentences, strictly: borders and type of an entity must be right."""

    run: Path
    """Run folder of `text tag train`."""

    file: Path
    """File of annotated sentences."""

    read: NewSentencesConfig = field(default_factory=NewSentencesConfig)
    """Its format."""

    out: Path | None = None
    """Folder for `report.json` and `report.txt`."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Evaluate and print.

    Returns:
        The metrics, and counts of sentences left out or read in windows.
    """
    import json
    import sys

    from nlp_tasks.tagging.entities import unseen_types
    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.mrc import is_nested
    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.answers import trained_settings
    from pipelines.text.tag import train
    from pipelines.text.tag.report import as_text, write

    tagger = Tagger.load(config.run)
    trained = trained_settings(train.Config, config.run)
    like = config.read.like(trained.data, tagger, config.file, entities=True)
    data = read_annotated(config.file, like, flags="read")
    reasons = unseen_types(data.sentences, tagger.types, nested=is_nested(tagger.model.head))
    data = data.without(reasons)
    inputs = tagger.inputs(data.sentences)
    metrics = tagger.metrics(tagger.predict_spans(inputs)[0], tagger.true_spans(data.sentences), len(data))
    counts = {**data.repaired, **inputs.inputs.counts}
    if n_inner := tagger.count_inner(data.sentences):
        counts["inner_entities_not_counted"] = n_inner
    report = metrics | {"left_out": data.left_out, "counted": counts}
    if config.out is not None:
        write(config.out, report)
        print(f"the report is in {config.out}", file=sys.stderr)
    print(json.dumps(report, ensure_ascii=False) if config.json else as_text(report))
    return report
