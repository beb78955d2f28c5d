"""Compare new pairs of texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out
from pipelines.text.answers import NewFileConfig, check_one_source, check_threshold
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write how well pairs of texts match."""

    run: Path
    """Run folder of `text match train`."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes: first and second of a pair, and so on."""

    file: Path | None = None
    """File with pairs, instead."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """How it is read."""

    first: str | None = None
    """Column with the first text; None: as in training."""

    second: str | None = None
    """Column with the second text; None: as in training."""

    threshold: float | None = None
    """Score from which on a pair matches; None: as chosen in training."""

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
    """Compare and show.

    Returns:
        Counts: pairs, those left out, those shortened.
    """
    from nlp_tasks.data import read_table
    from nlp_tasks.matching.matcher import Matcher
    from pipelines.text.answers import show, typed_in
    from pipelines.text.match import train
    from recsys_bert.settings import read_config

    matcher = Matcher.load(config.run, config.threshold)
    trained = read_config(train.Config, config.run / "config.toml")
    names = [config.first or trained.first, config.second or trained.second]
    if config.file is None:
        table = typed_in(**{names[0]: config.texts[0::2], names[1]: config.texts[1::2]})
    else:
        table = read_table(config.file, config.read.like(trained.data), names, flags="read")
    first, second = (table.texts[name] for name in names)
    pairs = matcher.inputs(first, second)
    rows = []
    for line, one, other, score in zip(table.lines, first, second, matcher.scores(pairs).tolist(), strict=True):
        row: dict[str, Any] = {"line": line, "score": score}
        if matcher.threshold is not None:
            row["match"] = score >= matcher.threshold
        rows.append(row | {"first": one, "second": other})
    told = {"run": str(config.run), "pairs": len(table), "threshold": matcher.threshold}
    told |= {"left_out": table.left_out, "counted": pairs.counts}
    return show(rows, told, config.out, config.json)
