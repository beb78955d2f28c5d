"""Words of items: the text columns of a side table as one clean text an item."""

import html
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.errors import InputError

_TAG = r"<[/!?]?[A-Za-z][^<>]*>"
_CONTROL = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"
_LETTER = r"[\p{L}\p{N}]"


def check_text_column(column: pl.Series, title: str) -> None:
    """Refuse a column whose values are no words: objects, bytes, times, or vectors of numbers.

    Raises:
        InputError: It is of such a type.
    """
    kind = column.dtype
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
    if inner.is_nested() or inner in (pl.Binary, pl.Object, pl.Duration):
        raise InputError(f"{title} holds {kind}, which are no words. Name columns of text, or of lists of text.")
    if isinstance(kind, pl.List | pl.Array) and inner.is_numeric():
        raise InputError(f"{title} holds lists of numbers ({kind}), which are no words. Leave it out.")


def item_texts(table: pl.DataFrame, columns: Sequence[str], missing: Sequence[str] = ()) -> pl.Series:
    """One text a row: the columns one after the other, lists joined by blanks; null where all of them are missing.

    HTML tags, character references and control characters are taken out; a text without a letter or digit is empty.

    Args:
        table: A side table, or the catalogue with its columns.
        columns: Text columns, in order.
        missing: Words that stand for a missing value.

    Returns:
        Text, ``""`` where nothing is left of it.
    """
    parts = [_plain(table[name], missing).rename(str(number)) for number, name in enumerate(columns)]
    joined = pl.DataFrame(parts).select(
        text=pl.concat_str(pl.all(), separator=" ", ignore_nulls=True),
        missing=pl.all_horizontal(pl.all().is_null()),
    )
    cleaned = joined.with_columns(clean_texts(joined["text"]))
    return cleaned.select(pl.when(~pl.col("missing")).then("text"))["text"]


def clean_texts(texts: pl.Series) -> pl.Series:
    """Texts without HTML, control characters and repeated blanks; ``""`` where no letter or digit is left."""
    texts = texts.cast(pl.String).rename("text")
    if texts.str.contains("&[#A-Za-z0-9]+;").any():
        texts = texts.map_elements(html.unescape, return_dtype=pl.String)
    text = pl.col("text").str.replace_all(_TAG, " ").str.replace_all(_CONTROL, " ")
    text = text.str.replace_all(r"\s+", " ").str.strip_chars()
    return texts.to_frame().select(text=pl.when(text.str.contains(_LETTER)).then(text).otherwise(pl.lit("")))["text"]


def _plain(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """A column as text, null where missing."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    text = pl.col("value").str.strip_chars()
    frame = column.cast(pl.String).rename("value").to_frame()
    return frame.select(pl.when(~text.is_in([*missing, ""])).then(text))["value"]


def text_counts(texts: pl.Series, in_table: NDArray[np.bool_], n_events: NDArray[np.int64]) -> dict[str, int]:
    """Items with and without text, by reason.

    Args:
        texts: Of each item, as ``item_texts`` gives them.
        in_table: True on items with a row in the side table.
        n_events: Events of each item in the log.
    """
    has = (texts.fill_null("") != "").to_numpy()
    return {
        "items_with_text": int(has.sum()),
        "items_not_in_the_table": int((~in_table).sum()),
        "items_with_all_text_columns_missing": int((texts.is_null().to_numpy() & in_table).sum()),
        "items_with_text_empty_after_cleaning": int((texts == "").fill_null(False).sum()),
        "texts_of_items_that_are_not_in_the_log": int((has & (n_events == 0)).sum()),
    }
