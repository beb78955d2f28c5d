"""Text with separators: CSV and TSV of any separator, with or without a header; rows of other widths are marked.

Every cell is text, so that ids and times keep what was written. Blank lines say nothing.
"""

import csv
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.decoding import open_binary
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError

_BLANKS = r"\s+"
_LONGEST_NAME = 10_000  # characters of a column's name


def scan_csv(path: Path, config: TableConfig) -> pl.LazyFrame:
    """Comma separated unless ``separator`` says otherwise."""
    return scan_separated(path, config, ",", '"')


def scan_tsv(path: Path, config: TableConfig) -> pl.LazyFrame:
    """Tab separated; quotes are ordinary characters."""
    return scan_separated(path, config, "\t", None)


def scan_separated(
    path: Path, config: TableConfig, separator: str, quote: str | None, columns: tuple[str, ...] = ()
) -> pl.LazyFrame:
    """Open a file lazily.

    Args:
        path: UTF-8 text.
        config: Its separator, columns and quote win over the next arguments.
        separator: Default of the format.
        quote: Default of the format; None: quotes are ordinary characters.
        columns: Default of the format; none: the first line is the header.

    Returns:
        All columns as text, and ``RAGGED`` if some row has too few or too many cells.

    Raises:
        InputError: The header is empty, or quotes are not closed.
    """
    separator = config.separator_or(separator)
    names = config.columns or columns
    if separator == "whitespace" or len(separator) > 1:
        if config.quote not in ("auto", "none"):
            raise InputError(f"quote is {config.quote!r}, which is read with a separator of one character only.")
        return _split_lines(path, separator, names)
    quote = config.quote_or(quote)
    n_header = 0
    if not names:
        names, n_header = _header(path, separator, quote)
    table = pl.scan_csv(
        path,
        has_header=False,
        skip_rows=int(n_header > 0),
        separator=separator,
        quote_char=quote,
        schema=dict.fromkeys(names, pl.String),
        truncate_ragged_lines=True,
        extra_columns="ignore",
        missing_columns="insert",
        glob=False,
    )
    marks = _ragged_rows(path, len(names), separator, quote, n_header)
    if marks is None:
        return table
    rows = pl.LazyFrame({RAGGED: marks, LINE: np.arange(n_header, n_header + len(marks))})
    return pl.concat([table, rows], how="horizontal").filter(pl.col(RAGGED).is_not_null())  # null: a blank line


def _header(path: Path, separator: str, quote: str | None) -> tuple[tuple[str, ...], int]:
    """Names of the columns, and lines that they take."""
    with io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="") as file:
        csv.field_size_limit(sys.maxsize)
        reader = csv.reader(file, delimiter=separator, **_quoting(quote))
        names = next(reader, [])
        if max(map(len, names), default=0) > _LONGEST_NAME:
            raise InputError(
                f"{path.name} begins with a cell of {max(map(len, names)):,} characters, which is no column's name "
                f"({_LONGEST_NAME:,} at most). Its first line should name the columns."
            )
        if not any(names):
            raise InputError(f"{path.name} begins with an empty line; its first line should name the columns.")
        return _distinct(names), reader.line_num


def _quoting(quote: str | None) -> dict[str, Any]:
    return {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote, "doublequote": True}


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Number the repetitions of a name, as polars does."""
    counts: dict[str, int] = {}
    result = []
    for name in names:
        n = counts.get(name, 0)
        counts[name] = n + 1
        result.append(f"{name}_duplicated_{n - 1}" if n else name)
    return tuple(result)


def _ragged_rows(path: Path, width: int, separator: str, quote: str | None, n_header: int) -> pl.Series | None:
    """Rows of another width than the header's: True; blank lines: null. None if there are neither."""
    lines = pl.scan_lines(path, name="line", glob=False).slice(n_header)
    line = pl.col("line")
    if quote is not None and _any(lines, line.str.contains(quote, literal=True)):
        if _any(lines, line.str.count_matches(quote, literal=True) % 2 == 1):  # cells that hold line breaks
            return _ragged_records(path, width, separator, quote, has_header=n_header > 0)
        mark = re.escape(quote)
        line = line.str.replace_all(f"{mark}[^{mark}]*{mark}", "")
    ragged = line.str.count_matches(separator, literal=True) + 1 != width
    if not _any(lines, ragged):
        return None
    if width > 1:
        ragged = pl.when(pl.col("line").str.strip_chars() != "").then(ragged)
    return lines.select(ragged.alias(RAGGED)).collect(engine="streaming")[RAGGED]


def _any(lines: pl.LazyFrame, condition: pl.Expr) -> bool:
    return bool(lines.select(condition.any()).collect(engine="streaming").item())


def _ragged_records(path: Path, width: int, separator: str, quote: str, has_header: bool) -> pl.Series | None:
    """As ``_ragged_rows``, by Python's reader: records may span lines."""
    with io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="") as file:
        try:
            csv.field_size_limit(sys.maxsize)  # a text may be longer than the 128 KiB that it takes by itself
            rows = csv.reader(file, delimiter=separator, **_quoting(quote), strict=True)
            lengths: NDArray[np.int64] = np.fromiter((len(row) for row in rows), np.int64)
        except csv.Error as error:
            raise InputError(
                f"{path.name}: {error} (character {quote}). Correct it, or pass quote none if quotes are ordinary "
                "characters there."
            ) from error
    lengths = lengths[int(has_header) :]
    if (lengths == width).all():
        return None
    return pl.Series(RAGGED, lengths != width).set(pl.Series(lengths == 0), None)


def _split_lines(path: Path, separator: str, names: tuple[str, ...]) -> pl.LazyFrame:
    """Cells between separators of several characters, or between blanks."""
    text = pl.col("line").str.strip_chars_end("\r").str.strip_prefix("\ufeff")
    if separator == "whitespace":
        text, separator = text.str.strip_chars().str.replace_all(_BLANKS, " "), " "
    lines = pl.scan_lines(path, name="line", glob=False).with_row_index(LINE)
    lines = lines.with_columns(text).filter(pl.col("line").str.strip_chars() != "")
    if not names:
        header = lines.head(1).collect()["line"]
        names = _distinct(header[0].split(separator)) if len(header) else ()
        if not any(names):
            raise InputError(f"{path.name} begins with an empty line; its first line should name the columns.")
        lines = lines.slice(1)
    cells = pl.col("line").str.splitn(separator, len(names) + 1).struct.rename_fields([*names, "\0rest"])
    ragged = (pl.col("line").str.count_matches(separator, literal=True) + 1 != len(names)).alias(RAGGED)
    table = lines.select(cells, ragged, LINE).unnest("line").drop("\0rest")
    return table.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names)
