"""Index texts by a bi-encoder's vectors, for `text match search`."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro

from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig, trained_settings
from recsys_bert.retrieval.index_config import IndexConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Index the texts of a file, such as known questions, by a bi-encoder's vectors: equal texts once."""

    run: Path
    """Run folder of `text match train` with task.form bi."""

    file: Path
    """File with texts."""

    out: Path
    """Folder to write; an earlier index there is replaced."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    text: str | None = None
    """Column with the text; None: the second text's column in training."""

    index: tyro.conf.OmitArgPrefixes[IndexConfig] = field(default_factory=IndexConfig)
    """Type and settings of the index; vectors have unit length, so its `ip` is the cosine."""


def run(config: Config) -> dict[str, Any]:
    """Build and save.

    Returns:
        Texts indexed, and lines left out.

    Raises:
        InputError: A cross-encoder, a factory string or setting that does not fit, or too few texts to train on.
    """
    from recsys_bert.locks import only_writer

    with only_writer(config.out):
        return _index(config)


def _index(config: Config) -> dict[str, Any]:
    import numpy as np

    from nlp_tasks.data import read_table
    from nlp_tasks.matching.matcher import Matcher
    from pipelines.text.match import train
    from pipelines.text.match.text_index import TextIndex, check_replaceable

    check_replaceable(config.out)
    check_place(config.out, folder=True)
    matcher = Matcher.load(config.run)
    trained = trained_settings(train.Config, config.run)
    name = config.text or trained.second
    table = read_table(config.file, config.read.like(trained.data), [name], flags="read")
    line_of: dict[str, int] = {}
    for line, text in zip(table.lines, table.texts[name], strict=True):
        line_of.setdefault(text, line)
    texts, lines = list(line_of), np.array(list(line_of.values()))
    index = TextIndex.build(matcher, config.run, texts, lines.tolist(), **asdict(config.index))
    index.save(config.out)
    print(
        f"{len(texts):,} texts of {config.file.name} by {config.index.factory}, "
        f"{index.vectors.memory / 2**20:,.1f} MiB, in {config.out}",
        file=sys.stderr,
    )
    return {"texts": len(texts), "lines": len(table), "left_out": table.left_out}
