"""Compare new pairs of texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out
from pipelines.text.answers import NewFileConfig, check_one_source, check_threshold, trained_settings
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write the similarity of pairs of texts."""

    run: Path
    """Run folder of `text match train`."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes: first and second of a pair, and so on."""

    file: Path | None = None
    """File with pairs, instead."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    first: str | None = None
    """Column with the first text; None: as in training."""

    second: str | None = None
    """Column with the second text; None: as in training."""

    threshold: float | None = None
    """Similarity from which on a pair matches; None: as tuned in training."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.texts)
        check_threshold(self.threshold)
        check_out(self.out)
        if len(self.texts) % 2:
            raise InputError(f"{len(self.texts)} texts are given; they come in pairs.")


def run(config: Config) -> dict[str, Any]:
    """Compare, and print or write the similarities.

    Returns:
        Counts: pairs, lines left out, texts shortened.
    """
    from nlp_tasks.data import read_table
    from nlp_tasks.matching.matcher import Matcher
    from pipelines.text.answers import show, typed_in
    from pipelines.text.match import train

    matcher = Matcher.load(config.run, config.threshold)
    trained = trained_settings(train.Config, config.run)
    names = [config.first or trained.first, config.second or trained.second]
    if config.file is None:
        table = typed_in(**{names[0]: config.texts[0::2], names[1]: config.texts[1::2]})
    else:
        table = read_table(config.file, config.read.like(trained.data), names, flags="read")
    first, second = (table.texts[name] for name in names)
    pairs = matcher.inputs(first, second)
    rows = []
    similarities = matcher.similarity_of(pairs).tolist()
    for line, text, other, similarity in zip(table.lines, first, second, similarities, strict=True):
        row: dict[str, Any] = {"line": line, "similarity": similarity}
        if matcher.threshold is not None:
            row["match"] = similarity >= matcher.threshold
        rows.append(row | {"first": text, "second": other})
    summary = {"run": str(config.run), "pairs": len(table), "threshold": matcher.threshold}
    summary |= {"left_out": table.left_out, "counted": pairs.counts}
    return show(rows, summary, config.out, config.json)
