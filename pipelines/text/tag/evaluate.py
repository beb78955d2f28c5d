"""Measure a trained recogniser on annotated sentences."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from pipelines.text.tag.files import NewSentencesConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure a recogniser on sentences with named entities: an entity is right where both ends and its type are."""

    run: Path
    """Run folder of `text tag train`."""

    file: Path
    """File of sentences with entities."""

    read: NewSentencesConfig = field(default_factory=NewSentencesConfig)
    """How it is read."""

    out: Path | None = None
    """Folder for `report.json` and `report.txt`."""

    json: bool = False
    """Print one JSON object on stdout instead of a table."""

    def __post_init__(self) -> None:
        check_place(self.out, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Measure and tell.

    Returns:
        The figures, and what was left out or read in windows.
    """
    import json
    import sys

    from nlp_tasks.tagging.data import read_annotated, unseen_types
    from nlp_tasks.tagging.mrc import nested
    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.tag import train
    from pipelines.text.tag.report import as_text, write
    from recsys_bert.settings import read_config

    recogniser = Tagger.load(config.run)
    trained = read_config(train.Config, config.run / "config.toml")
    found = read_annotated(config.file, config.read.like(trained.data, recogniser, config.file), flags="read")
    reasons = unseen_types(found.sentences, recogniser.types, nested=nested(recogniser.model.head))
    found = found.without(reasons, config.read.bad_rows)
    inputs = recogniser.inputs(found.sentences)
    true = recogniser.true(found.sentences)
    metrics = recogniser.score(recogniser.entities(inputs)[0], true, len(found))
    counts = dict(inputs.inputs.counts)
    if beyond := recogniser.beyond(found.sentences):
        counts["inner_entities_not_counted"] = beyond
    told = metrics | {"left_out": found.left_out, "counted": counts}
    if config.out is not None:
        write(config.out, told)
        print(f"the report is in {config.out}", file=sys.stderr)
    print(json.dumps(told, ensure_ascii=False) if config.json else as_text(told))
    return told
