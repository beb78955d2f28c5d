"""Items of impressions with a history column: one vocabulary for targets and histories, and the histories."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.ctr.values import as_lists, as_text

FIRST_ITEM = UNKNOWN + 1


@dataclass(frozen=True)
class ItemVocabulary:
    """Items of training impressions, as targets or in histories; rows as in a prepared log's vocabulary.

    Args:
        ids: Ids as text; their rows from ``FIRST_ITEM`` on.
    """

    ids: pl.Series

    @staticmethod
    def fit(targets: pl.Series, histories: pl.Series, separator: str, min_count: int) -> "ItemVocabulary":
        """Number the items of training impressions.

        Args:
            targets: Target items.
            histories: The history column.
            separator: Cuts its text.
            min_count: Items with fewer occurrences are unknown.

        Raises:
            InputError: A column cannot be read.
        """
        past = as_lists(histories, separator).explode().drop_nulls()
        return ItemVocabulary(by_count(pl.concat([as_text(targets).rename("id"), past.rename("id")]), min_count))

    @property
    def n_rows(self) -> int:
        """Rows of the embedding table."""
        return FIRST_ITEM + len(self.ids)

    def rows(self, ids: Any) -> NDArray[np.int32]:
        """Row of each id, ``UNKNOWN`` for items that training does not have."""
        text = as_text(ids).rename("id")
        table = pl.DataFrame({"id": self.ids, "row": np.arange(FIRST_ITEM, self.n_rows, dtype=np.int32)})
        rows = text.to_frame().join(table, on="id", how="left", maintain_order="left")["row"]
        return rows.fill_null(UNKNOWN).to_numpy().astype(np.int32)


def n_cold(rows: NDArray[np.int32], items: ItemVocabulary | ClickDataset) -> int:
    """Count rows of items without training event."""
    if isinstance(items, ItemVocabulary):
        first, size = FIRST_ITEM, items.n_rows
    else:
        first, size = items.vocabulary.first_item, items.vocabulary.size
    return int(((rows < first) | (rows >= size)).sum())


def list_histories(column: pl.Series, separator: str, items: ItemVocabulary | ClickDataset, max_len: int) -> Histories:
    """Histories of impressions from a column of item lists, oldest first; one "user" an impression.

    Args:
        column: Lists of ids, or text.
        separator: Cuts the text.
        items: Gives the rows.
        max_len: Last items that are read.

    Raises:
        InputError: The column cannot be read.
    """
    lists = as_lists(column, separator).list.tail(max_len)
    offsets = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy())]).astype(np.int64)
    rows = items.rows(lists.filter(lists.list.len() > 0).explode())
    return Histories(rows, np.zeros(len(rows), np.int64), None, offsets, offsets[1:], offsets[1:])


def by_count(text: pl.Series, min_count: int) -> pl.Series:
    """Distinct values by decreasing count, ties in their own order."""
    counts = text.drop_nulls().rename("value").value_counts(name="n")
    return counts.filter(pl.col("n") >= min_count).sort("n", "value", descending=[True, False])["value"]
