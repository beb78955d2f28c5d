"""Settings of the text that word vectors are trained on. Plain values: importing this is instant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class VectorTextConfig:
    """Which text is read, and what its words are."""

    files: tuple[Path, ...] = ()
    """Files of text, each text a sequence: no word is a neighbour of one in another text."""

    format: Literal["auto", "lines", "blocks", "tsv", "csv", "jsonl", "label_text", "squad"] = "auto"
    """lines: every line is a text; blocks: texts with an empty line between them; squad: the passages of a reading set;
    the rest are rows with texts in columns. ``auto`` goes by the ending, and takes .txt as lines."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    texts: tuple[str, ...] = ("text",)
    """Columns with texts; for tsv, csv, jsonl and label_text."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a row that cannot be used does: stop with its number, or drop out and be counted."""

    unit: Literal["auto", "characters", "jieba", "blanks"] = "auto"
    """What gets a vector: every character; words as jieba cuts Chinese text (extra `text`); or whatever stands between
    blanks. ``auto`` takes jieba for text that is mostly Chinese, and else blanks."""

    lowercase: bool = True
    """Read A as a."""

    min_count: int = 5
    """Words that occur less often get no vector and are no neighbours."""

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise InputError(f"text.min_count is {self.min_count}; it must be at least 1.")
