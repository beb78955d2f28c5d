"""Settings of reading a table's files: logs, side tables and impressions alike. Plain values: importing is instant."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from recsys_bert.errors import InputError

Format = Literal[
    "auto",
    "parquet",
    "csv",
    "tsv",
    "jsonl",
    "arrow",
    "movielens",
    "recbole",
    "lines",
    "mind",
    "mind_impressions",
    "diginetica",
]
MISSING = ("NULL", "null", "Null", "NaN", "nan", "NAN", "None", "none", "NA", "N/A", "n/a", "<NA>", "\\N", "nil")
TEXT_FORMATS = ("auto", "csv", "tsv", "movielens", "recbole")
"""Formats with a separator between their cells."""

_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Reading of a table's files."""

    format: Format = "auto"
    """Format of files; ``auto`` goes by their ending (.dat MovieLens, .inter RecBole, .txt ``user item item …``)."""

    separator: str | None = None
    """Separator of the cells of text files: one character or several (``::``), ``tab``, or ``whitespace`` for any run
    of blanks. None: comma in .csv, tab in .tsv."""

    columns: tuple[str, ...] = ()
    """Names of all columns of text files without a header."""

    encoding: str = "auto"
    """Encoding of text files: ``latin-1``, ``gb18030`` and so on. ``auto``: UTF-8, or UTF-16 with its mark."""

    quote: str = "auto"
    """Character around cells that hold separators, or ``none``. ``auto``: ``"`` in .csv, none in .tsv."""

    missing: tuple[str, ...] = MISSING
    """Words that stand for a missing id, time or feature value in text, besides empty cells."""

    bad_rows: Literal["error", "drop"] = "error"
    """Rows of too few or too many cells: an error for the first, or drop and count them."""

    def __post_init__(self) -> None:
        if self.separator == "":
            raise InputError(
                "separator is empty, which would cut a text into its letters. Name one, such as ',' or tab."
            )
        if double := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise InputError(f"columns names {', '.join(double)} twice; every column has a name of its own.")
        if self.quote not in ("auto", "none") and len(self.quote) != 1:
            raise InputError(f"quote is {self.quote!r}; it is one character, auto or none.")
        if self.format not in TEXT_FORMATS:
            named = [name for name in ("separator", "columns", "quote") if getattr(self, name) != _default(name)]
            if named:
                raise InputError(
                    f"{named[0]} is {getattr(self, named[0])!r}, which format {self.format!r} does not read: it is for "
                    "text with separators (csv, tsv). Leave it out."
                )

    @property
    def names_text(self) -> bool:
        """True if a setting says that the file is text with separators."""
        return self.separator is not None or bool(self.columns)

    def for_frames(self) -> Self:
        """The same settings without those of files."""
        return replace(self, format="auto", separator=None, columns=(), encoding="auto", quote="auto")

    def separator_or(self, default: str) -> str:
        """The separator itself, or ``default``; ``whitespace`` stays a word."""
        return default if self.separator is None else _NAMED_SEPARATORS.get(self.separator, self.separator)

    def quote_or(self, default: str | None) -> str | None:
        """The quote character, None without; ``default`` where the format decides."""
        if self.quote == "auto":
            return default
        return None if self.quote == "none" else self.quote


def _default(name: str) -> object:
    return TableConfig.__dataclass_fields__[name].default
