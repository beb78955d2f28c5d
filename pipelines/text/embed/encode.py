"""Write the vectors of texts."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.files import PairColumns
from pipelines.support.outputs import check_out
from pipelines.text.answers import NewFileConfig, check_one_source


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write, or print, the vectors of texts."""

    run: Path
    """Run of any `text embed` command, `text pretrain` or a text task, or a Hugging Face or sentence-transformers
    folder."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes."""

    file: Path | None = None
    """File with texts, instead; of pairs, the first ones."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    column: str | None = None
    """Column with the text; None: recognised, as text is."""

    normalise: bool = False
    """Divide vectors by their length, so that inner products are cosines."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.texts)
        check_out(self.out)


def run(config: Config) -> dict[str, Any]:
    """Encode, and print or write.

    Returns:
        Counts: texts, width, lines left out, texts shortened.
    """
    from nlp_tasks.embedding.data import FIRST
    from nlp_tasks.embedding.files import read_pairs
    from nlp_tasks.static_vectors import load_vectors
    from pipelines.text.answers import show, typed_in

    encoder = load_vectors(config.run)
    if config.file is None:
        table = typed_in(**{FIRST: config.texts})
    else:
        settings = config.read.like(FilesConfig())
        table = read_pairs(config.file, settings, PairColumns(first=config.column), flags="read")
    texts = table.texts[FIRST]
    vectors, counts = encoder.encode(texts, normalise=config.normalise), encoder.counts(texts)
    rows = [
        {"line": line, "text": text, "vector": vector}
        for line, text, vector in zip(table.lines, texts, vectors.tolist(), strict=True)
    ]
    summary = {"run": str(config.run), "texts": len(texts), "dim": encoder.dim}
    summary |= {"left_out": table.left_out, "counted": counts}
    for name, count in {**table.left_out, **counts}.items():
        print(f"{count:,} {name}", file=sys.stderr)
    return show(rows, summary, config.out, config.json)
