"""Distil an encoder into a table of static token vectors."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.embedding.files import PairColumns
from pipelines.support.outputs import check_place
from pipelines.text.answers import NewFileConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Encode every token once, reduce by PCA, scale by frequency, and write the table."""

    run: Path
    """Run of `text embed train`, `text pretrain` or a text task, or a Hugging Face or sentence-transformers folder."""

    out: Path
    """Folder to write, which `text embed evaluate`, `encode` and `text export` take; an earlier one is replaced."""

    file: Path | None = None
    """File with texts that say how frequent tokens are; None: by the order of the vocabulary (Zipf's law)."""

    dim: int = 256
    """Width after PCA; that of the encoder where that is less."""

    smoothing: float = 1e-3
    """a of the weight a / (a + p) of a token with the share p of all tokens; larger: weights are more alike."""

    power: float = 0.0
    """Directions of the PCA are divided by their standard deviation to this power, in [0, 1]."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file."""

    columns: PairColumns = field(default_factory=PairColumns)
    """Columns of the file."""

    def __post_init__(self) -> None:
        check_place(self.out, folder=True)
        if not self.smoothing > 0 or self.dim < 1 or not 0 <= self.power <= 1:
            raise InputError(
                f"smoothing is {self.smoothing} (above 0), dim {self.dim} (at least 1), power {self.power} (in [0, 1])."
            )


def run(config: Config) -> dict[str, Any]:
    """Distil and write.

    Returns:
        Width, tokens, texts counted, lines left out.
    """
    from nlp_tasks.embedding.files import read_pairs
    from nlp_tasks.static_vectors import StaticEncoder
    from nlp_tasks.text_encoder import TextEncoder
    from recsys_bert.locks import only_writer

    with only_writer(config.out):
        encoder, texts, left_out = TextEncoder.load(config.run), None, dict[str, int]()
        if config.file is not None:
            table = read_pairs(config.file, config.read.like(FilesConfig()), config.columns, flags="read")
            texts, left_out = [text for column in table.texts.values() for text in column], table.left_out
        static = StaticEncoder.distil(encoder, texts, dim=config.dim, smoothing=config.smoothing, power=config.power)
        static.save(config.out)
    for reason, count in left_out.items():
        print(f"{count:,} {reason}", file=sys.stderr)
    print(f"{len(static.table):,} tokens of width {static.dim}; wrote {config.out}", file=sys.stderr)
    return {"dim": static.dim, "tokens": len(static.table), "texts": len(texts or []), "left_out": left_out}
