"""Values of a side table's column as text: single ones, or lists as lists or as text."""

import polars as pl

from recsys_bert.clicks.prepare.ids import present
from recsys_bert.clicks.prepare.nested import is_written_list, written_list
from recsys_bert.errors import InputError

_SAMPLE = 1_000
_VECTOR = 4  # numbers that make a list with fractions a vector


def value_texts(column: pl.Series, title: str, separator: str | None, missing: tuple[str, ...]) -> pl.Series:
    """Values of each row as text, null where missing.

    Args:
        column: The raw column.
        title: Names the column in messages.
        separator: Cuts text into several values; None for columns with one value a row.
        missing: Words for a missing value.

    Returns:
        Text, or lists of text where there is a ``separator``.

    Raises:
        InputError: It holds vectors, objects, or lists where single values are expected.
    """
    kind = column.dtype
    is_list = isinstance(kind, pl.List | pl.Array)
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
    if inner == pl.Duration:
        raise InputError(f"{title} is of type {kind}; categories are text or numbers. Convert it first.")
    if inner.is_nested() or inner in (pl.Binary, pl.Object) or _all_objects(column):
        raise InputError(
            f"{title} holds objects ({kind}), which are no categories. Write single values or lists of them."
        )
    if is_list and inner.is_float():
        if not _whole(column.explode(empty_as_null=True).fill_nan(None)):
            raise InputError(
                f"{title} holds vectors ({kind}), which are no categories: each number would be one. Leave it out."
            )
        column, kind = column.cast(pl.List(pl.Int64), strict=False), pl.List(pl.Int64)
    if separator is None:
        if is_list or (kind == pl.String and is_written_list(column.head(_SAMPLE))):
            raise InputError(f"{title} holds lists; name it with .multi instead of .categorical.")
        return _texts(column, missing)
    if is_list:
        lists = column.arr.to_list() if isinstance(kind, pl.Array) else column
        return lists.cast(pl.List(pl.String))
    texts = _texts(column, missing)
    text = pl.col("value")
    in_brackets = text.str.contains(r"^\s*\[(?s:.*)\]\s*$")
    lists = (
        texts.rename("value")
        .to_frame()
        .select(pl.when(in_brackets).then(written_list(text)).otherwise(text.str.split(separator)))["value"]
    )
    if _are_vectors(lists.drop_nulls().head(_SAMPLE)):
        raise InputError(
            f"{title} holds vectors as text, which are no categories: each number would be one. Leave it out."
        )
    return lists


def _texts(column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    """Single values; floats that are whole as integers, as in ids."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if _whole(column):
            column = column.cast(pl.Int64, strict=False)
    frame = column.cast(pl.String).str.strip_chars().rename("value").to_frame()
    return frame.select(present(pl.col("value"), missing))["value"]


def _all_objects(column: pl.Series) -> bool:
    """True if all texts of a sample are objects in braces."""
    if column.dtype != pl.String:
        return False
    sample = column.head(_SAMPLE).drop_nulls().str.strip_chars()
    return bool(len(sample)) and bool((sample.str.starts_with("{") & sample.str.ends_with("}")).all())


def _are_vectors(lists: pl.Series) -> bool:
    long = lists.filter(lists.list.len() >= _VECTOR)
    values = long.explode().drop_nulls()
    if not len(values) or 2 * len(long) < len(lists):
        return False
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.null_count() == 0 and 2 * int((numbers != numbers.floor()).sum()) > len(numbers)


def _whole(numbers: pl.Series) -> bool:
    """True if all numbers are whole."""
    return bool((numbers.drop_nulls() == numbers.drop_nulls().floor()).all())
