"""Items of a catalogue by parts of their words, and their values as JSON holds them."""

import math
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.list_frames import title_column

_NOT_SIDE = ("item_row", "item_id", "count")
_LONGEST, _LONGEST_TITLE, _MOST_TAGS, _MOST_VALUES = 400, 200, 20, 100


class ItemLookup:
    """Items of a log at hand.

    Args:
        dataset: The log.
    """

    def __init__(self, dataset: ClickDataset) -> None:
        self._dataset, self._title = dataset, name_column(dataset)
        self._side = [name for name in dataset.items.columns if name not in _NOT_SIDE]

    def find(self, query: str, k: int, allowed: Allowed | None) -> tuple[NDArray[np.int64], int]:
        """Rows of items whose id, title or text holds every word of a query, the commonest first.

        Args:
            query: Parts of words, in any case; empty: all items.
            k: Rows at most.
            allowed: ``[n_rows]``: rows that may be listed; None allows all.

        Returns:
            Rows, and the number of all that fit.
        """
        first = self._dataset.vocabulary.first_item
        fits = np.ones(self._dataset.items.height, np.bool_)
        for word in query.lower().split()[:20]:
            fits &= self._texts.str.contains(word, literal=True).to_numpy()
        if allowed is not None:
            fits &= allowed[first:]
        rows = np.flatnonzero(fits)
        best = rows[np.argsort(-self._counts[rows], kind="stable")]
        if (exact := np.flatnonzero(fits & (self._ids == query.strip().lower()).to_numpy())).size:
            best = np.concatenate([exact, best[best != exact[0]]])
        return best[:k] + first, len(rows)

    def info(self, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Id, title, events and values by side column of items; values of other types than JSON's become text."""
        part = self._dataset.items[(rows - self._dataset.vocabulary.first_item).tolist()]
        infos = []
        for row in part.iter_rows(named=True):
            values = {name: plain(row[name]) for name in self._side if name != title_column(self._dataset)}
            title = None if self._title is None else short_title(row[self._title])
            columns = {name: value for name, value in values.items() if value is not None}
            infos.append({"item_id": row["item_id"], "title": title, "events": row.get("count"), "columns": columns})
        return infos

    def columns(self) -> list[dict[str, Any]]:
        """Side columns: name, kind, number of different values, and the commonest ones of texts and whole numbers."""
        columns = []
        for name in self._side:
            values = self._dataset.items[name].drop_nulls()
            kind = "text"
            if isinstance(values.dtype, pl.List | pl.Array):
                kind, values = "tags", values.explode(empty_as_null=True).drop_nulls()
            elif values.dtype.is_numeric():
                kind = "number"
            elif not (values.dtype.is_(pl.String) or isinstance(values.dtype, pl.Categorical | pl.Enum)):
                kind = "other" if values.dtype != pl.Boolean else "text"
            counts = values.value_counts(sort=True)
            common = [] if kind == "other" or values.dtype.is_float() else counts.head(_MOST_VALUES).rows()
            listed = [{"value": _text(value), "items": number} for value, number in common]
            columns.append({"name": name, "kind": kind, "n_values": counts.height, "values": listed})
        return columns

    @cached_property
    def _ids(self) -> pl.Series:
        return self._dataset.items["item_id"].cast(pl.String).str.to_lowercase()

    @cached_property
    def _texts(self) -> pl.Series:
        """Words of each item in lower case: id, title, and the columns that it was prepared with as text."""
        frame, named = self._dataset.items, self._dataset.manifest.texts.get("columns", [])
        names = [name for name in dict.fromkeys([self._title, *named]) if name in frame.columns]
        columns = [
            pl.col(name).cast(pl.String) if frame[name].dtype != pl.List(pl.String) else pl.col(name).list.join(" ")
            for name in names
        ]
        return frame.select(
            pl.concat_str(pl.col("item_id").cast(pl.String), *columns, separator=" ", ignore_nulls=True)
            .str.to_lowercase()
            .alias("text")
        )["text"]

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        if "count" not in self._dataset.items.columns:
            return np.zeros(self._dataset.items.height, np.int64)
        return self._dataset.items["count"].fill_null(0).cast(pl.Int64).to_numpy()


def name_column(dataset: ClickDataset) -> str | None:
    """Column that items are called by: their title, else the first column that was prepared as their text."""
    named = dataset.manifest.texts.get("columns") or [None]
    return title_column(dataset) or next((name for name in named if name in dataset.items.columns), None)


def short_title(value: Any) -> str | None:
    """A title as lists give it: cut where a text stands for one."""
    text = None if value is None else str(value)
    return text if text is None or len(text) <= _LONGEST_TITLE else text[:_LONGEST_TITLE] + "…"


def plain(value: Any) -> Any:
    """A value as JSON holds it, long ones cut; None for one that is missing or not finite."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | pl.Series):
        return [str(one)[:_LONGEST] for one in list(value)[:_MOST_TAGS] if one is not None]
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
