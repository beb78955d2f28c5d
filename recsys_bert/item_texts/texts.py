"""Texts of a prepared log's items."""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.item_words import clean_texts, item_texts
from recsys_bert.errors import InputError


def has_texts(dataset: ClickDataset) -> bool:
    """True iff the log was prepared with words of its items."""
    return bool(dataset.manifest.texts)


def texts_of(dataset: ClickDataset) -> list[str]:
    """Text of each catalogue row, ``[n_rows]``; ``""`` on special rows and on items without text.

    Raises:
        InputError: The log was prepared without words, or no item has any.
    """
    words = dataset.manifest.texts
    if not words:
        raise InputError(
            f"{dataset.folder} was prepared without words of items. Prepare it with a table of items and name its text "
            "columns: --items items.tsv --item-features.text title."
        )
    if not words["items_with_text"]:
        raise InputError(f"no item of {dataset.folder} has text in {', '.join(words['columns'])}.")
    texts = item_texts(dataset.items, words["columns"], words["missing"]).fill_null("")
    return [""] * dataset.vocabulary.first_item + texts.to_list()


def as_texts(texts: Sequence[str]) -> list[str]:
    """Texts of a caller, cleaned as those of items are.

    Raises:
        InputError: They are one string, or not all strings.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InputError("texts must be a list of strings, one a text.")
    return clean_texts(pl.Series("text", list(texts), dtype=pl.String)).to_list()


def text_digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """64-bit hash of each text, ``[n]``."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
