"""Cells of a column as text, numbers or lists, whatever a file made of them."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.errors import InputError

WHOLE = r"^(-?\d+)\.0+$"  # an integer written as a float
BRACKETS = r"^\s*\[(?s:.*)\]\s*$"
VALUE = r"""'[^']*'|"[^"]*"|[^\s,\[\]]+"""
QUOTED = r"""^(?:'(.*)'|"(.*)")$"""


def as_text(column: pl.Series) -> pl.Series:
    """Values as text: 3, 3.0 and "3" are the same, whatever the column's type; empty text is missing.

    Raises:
        InputError: The column holds lists, or another type that has no text.
    """
    is_float = column.dtype.is_float()
    advice = "name lists under features.multi, and convert other types"
    text = _cast(column.fill_nan(None) if is_float else column, pl.String(), advice)
    if is_float:
        integers = column.cast(pl.Int64, strict=False)  # null for what int64 cannot hold
        text = integers.cast(pl.String).zip_with((integers == column).fill_null(False), text)
    else:
        text = text.str.replace(WHOLE, "$1")
    return text.set((text == "").fill_null(False), None)


def as_numbers(column: pl.Series) -> NDArray[np.float64]:
    """Numbers as float64 with NaN for missing ones.

    Raises:
        InputError: Text that is no number, an infinite number, or a column of lists.
    """
    kind = column.dtype
    text = column if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean else as_text(column)
    numbers = text.cast(pl.Float64, strict=False)
    odd = (numbers.is_null() & text.is_not_null()) | numbers.is_infinite().fill_null(False)
    if bad := int(odd.sum()):
        row = int(odd.arg_max() or 0)
        raise InputError(
            f"numeric column {column.name!r}, row {row + 1}: {column[row]!r} is not a finite number; {bad} such rows "
            "in all. Correct them, or name the column under features.categorical."
        )
    return numbers.fill_null(float("nan")).to_numpy()


def as_lists(column: pl.Series, separator: str) -> pl.Series:
    """Lists of text as ``as_text`` makes it, without empty values; a missing cell is an empty list.

    Text in brackets is a list as JSON or Python writes it; other text is cut at the separator.

    Raises:
        InputError: Lists within lists, vectors, or a type that has no text.
    """
    if isinstance(column.dtype, pl.List | pl.Array):
        _check_no_vectors(column)
        lists = column
    else:
        lists = _split(as_text(column), separator)
    values = pl.element().filter(pl.element().is_not_null() & (pl.element() != "")).str.replace(WHOLE, "$1")
    return _cast(lists, pl.List(pl.String), "convert it to lists of text").fill_null([]).list.eval(values)


def _split(text: pl.Series, separator: str) -> pl.Series:
    column = pl.col("text")
    unquoted = pl.element().str.replace(QUOTED, "$1$2")
    in_brackets = column.str.strip_chars().str.extract_all(VALUE).list.eval(unquoted)
    cut = column.str.split(separator).list.eval(pl.element().str.strip_chars())
    lists = pl.when(column.str.contains(BRACKETS)).then(in_brackets).otherwise(cut)
    return text.rename("text").to_frame().select(lists.alias(text.name)).to_series()


def _check_no_vectors(column: pl.Series) -> None:
    """Refuse lists of fractions, each of which would be a category."""
    inner = column.dtype.inner  # type: ignore[attr-defined]
    if inner.is_float():
        numbers = column.explode().drop_nulls().drop_nans()
        if len(numbers) and (fractions := numbers.filter(numbers != numbers.floor())).len():
            raise InputError(
                f"column {column.name!r} holds vectors: {fractions[0]} is no value of a category. Leave it out, or "
                "name columns of single numbers under features.numeric."
            )


def _cast(column: pl.Series, kind: pl.DataType, advice: str) -> pl.Series:
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"column {column.name!r} is of type {column.dtype}, which is not read here; {advice}."
        ) from error
