"""Ids as integers or text: whole numbers written as floats, words for missing ones, integers beyond 64 bits."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys_bert.errors import InputError

WHOLE = r"^(0|-?[1-9]\d{0,17})$"  # an integer that reads the same when written again
WRITTEN_WHOLE = r"^(0|-?[1-9]\d*)(\.0+)?$"
POINT_ZERO = r"\.0+$"
_EXACT = 2**53  # floats hold every integer up to here


def index_in(ids: pl.Series, table: pl.Series) -> pl.Series:
    """Index of each id in ``table``, which has each id once; null where it lacks one."""
    known = pl.DataFrame({"id": table, "index": np.arange(len(table))})
    return ids.rename("id").to_frame().join(known, on="id", how="left", maintain_order="left")["index"]


def present(text: pl.Expr, missing: tuple[str, ...]) -> pl.Expr:
    """Text, or null where it is empty or a word for a missing value."""
    return pl.when(~text.is_in(["", *missing])).then(text)


def text_ids(column: pl.Series | pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Ids as text, floats that are whole as integers."""
    expr = pl.lit(column) if isinstance(column, pl.Series) else column
    return expr.cast(pl.Int64, strict=False).cast(pl.String) if kind.is_float() else expr.cast(pl.String)


def integer_ids(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Ids as int64: integers, whole floats, or either written as text; null for anything else."""
    if kind == pl.String:
        whole = pl.when(column.str.contains(WRITTEN_WHOLE)).then(column.str.replace(POINT_ZERO, ""))
        return whole.cast(pl.Int64, strict=False)
    if kind.is_float():
        return (
            pl.when(column.is_finite() & (column == column.floor()) & (column.abs() <= _EXACT))
            .then(column)
            .cast(pl.Int64)
        )
    return column.cast(pl.Int64, strict=False)


def check_floats(table: pl.LazyFrame, name: str, title: str) -> None:
    """Refuse float ids that are no whole numbers, or too large to be exact.

    Raises:
        InputError: There are some.
    """
    value = pl.col(name)
    wrong = value.is_finite() & ((value != value.floor()) | (value.abs() > _EXACT))
    rows = table.select(name).filter(wrong).head(1).collect(engine="streaming")
    if len(rows):
        raise InputError(
            f"column {name!r} of {title} ids is of type {table.collect_schema()[name]} and holds {rows.item()!r}; ids "
            "are integers or text, and floats only where they are whole numbers up to 2^53. Convert it first."
        )


@dataclass(frozen=True)
class TextIds:
    """Counts of the text ids of one column.

    Args:
        total: All.
        whole: Integers that fit into 64 bits, plain or with ``.0``.
        too_large: Integers that do not fit.
        plain: All are short integers without ``.0``.
    """

    total: int
    whole: int
    too_large: int
    plain: bool = False

    @property
    def words(self) -> int:
        """Ids that are no integers."""
        return self.total - self.whole - self.too_large


def count_text_ids(rows: pl.LazyFrame, name: str) -> TextIds:
    """Tell integers from words in a column of text, in one pass where all are short integers."""
    column = pl.col(name)
    whole, total = (
        rows.select(column.str.contains(WHOLE).sum(), pl.len().alias("all")).collect(engine="streaming").row(0)
    )
    if whole == total:
        return TextIds(total, whole, 0, plain=True)
    written = column.str.contains(WRITTEN_WHOLE)
    fits = integer_ids(column, pl.String()).is_not_null()
    whole, large = rows.select(fits.sum(), (written & ~fits).sum().alias("large")).collect(engine="streaming").row(0)
    return TextIds(total, whole, large)
