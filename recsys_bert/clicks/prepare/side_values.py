"""Values of a side table's column: as text, single or lists, or as numbers."""

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


def numbers(
    column: pl.Series, title: str, bad_numbers: str, missing: tuple[str, ...], ids: pl.Series
) -> tuple[pl.Series, int]:
    """Numbers of a column as float64, NaN where missing, and the number of cells that are none.

    Args:
        column: The raw column; NaN, null and empty text are missing.
        title: Names the column in messages.
        bad_numbers: ``error``, or ``missing`` for text and infinite numbers.
        missing: Words for a missing value.
        ids: Id of each row, for messages.

    Raises:
        InputError: It holds lists or objects; or text or an infinite number, which are an error.
    """
    kind = column.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        raise InputError(f"{title} holds {kind}, and a numeric column one number a row. Name vectors under .vectors.")
    if not (kind.is_numeric() or kind.is_temporal() or kind in (pl.Boolean, pl.Null)):
        text = column.cast(pl.String).str.strip_chars().rename("value").to_frame()
        column = text.select(present(pl.col("value"), missing))["value"]
    values = column.cast(pl.Float64, strict=False)
    bad = (values.is_null() & column.is_not_null()) | values.is_infinite().fill_null(False)
    n_bad = int(bad.sum())
    if n_bad and bad_numbers == "error":
        row = int(bad.arg_max() or 0)
        raise InputError(
            f"{title}, id {ids[row]!r}: {column[row]!r} is not a finite number; {n_bad:,} such rows in all. Correct "
            "them, or set bad_numbers to 'missing', which counts them."
        )
    return values.set(bad, None).fill_null(float("nan")), n_bad


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
