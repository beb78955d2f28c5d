"""A recommender's catalogue while it is served: ids, titles, masks and vectors at hand, items put in and removed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.frozen import frozen
from recsys_bert.retrieval.list_frames import popular_lists
from recsys_bert.retrieval.ranker import Lists, Ranker
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.retrieval.score_fusion import recent_gains, without_gains
from recsys_bert.serving.id_rows import IdRows
from recsys_bert.serving.item_lookup import ItemLookup, name_column, short_title
from recsys_bert.serving.item_masks import ItemMasks
from recsys_bert.serving.live_log import LiveItem

Ints = NDArray[np.int64]
_NOT_SIDE = ("item_row", "item_id", "count")


class ServedCatalogue:
    """Catalogue of a recommender, with all that a request would otherwise compute again.

    Args:
        model: The recommender; items are put into it and removed from it here.
        runtime: Gives the ranker that answers for the recommender's; None: that one.
    """

    def __init__(self, model: Recommender, runtime: Callable[[Ranker], Ranker] | None = None) -> None:
        self.model, self._runtime, self.version = model, runtime, 0
        self._renew()

    def _renew(self) -> None:
        ranker = self.model.ranker if self._runtime is None else self._runtime(self.model.ranker)
        self.dataset, self.ranker = self.model.dataset, frozen(ranker)
        self.first_item, self.n_rows = self.ranker.first_item, self.ranker.shape[0]
        self.items = IdRows(self.dataset.items["item_id"], "item")
        self._masks = ItemMasks(self.dataset, self.items)
        self.lookup, self.version = ItemLookup(self.dataset), self.version + 1
        title = name_column(self.dataset)
        self._titles = None if title is None else self.dataset.items[title]
        vectors = without_gains(self.ranker).item_vectors()
        self.unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        popular = popular_lists(self.dataset, 1, self.dataset.items.height, None, recent_gains(self.ranker))
        self._popular = popular[0][0], popular[1][0]

    def ids(self, rows: NDArray[np.integer[Any]]) -> list[Any]:
        """Item ids of rows."""
        return self.items.ids(rows - self.first_item)

    def titles(self, rows: NDArray[np.integer[Any]]) -> list[str | None]:
        """Titles of rows, else the beginning of their texts; None where the catalogue has neither."""
        if self._titles is None:
            return [None] * len(rows)
        values = [self._titles[row] for row in (rows - self.first_item).tolist()]
        return [short_title(value) for value in values]

    def rows(self, ids: Sequence[str | int]) -> Ints:
        """Rows of item ids; -1 for unknown ones.

        Raises:
            InputError: Ids of another type than the log's.
        """
        rows = self.items.rows(ids)
        return np.where(rows < 0, -1, rows + self.first_item)

    def allowed(self, only: Any, without: Any) -> tuple[Allowed | None, list[str]]:
        """Rows that may be listed, ``[n_rows]`` (None: all), and notes; see ``ItemMasks``."""
        allowed, notes = self._masks.allowed(only, without)
        return self.model.catalogue.listed(allowed), notes

    def in_catalogue(self, only: Any, without: Any) -> tuple[Allowed, list[str]]:
        """Rows that were not removed and that the lists let through, those without a vector too; see ``allowed``."""
        mask, notes = self._masks.allowed(only, without)
        present = np.ones(self.dataset.n_rows, np.bool_) if mask is None else mask.copy()
        present[self.model.catalogue.live.removed] = False
        return present, notes

    def popular(self, k: int, allowed: Allowed | None) -> Lists:
        """The most popular items as one list; shorter where fewer are left."""
        rows, scores = self._popular
        listed = rows >= 0 if allowed is None else (rows >= 0) & allowed[np.maximum(rows, 0)]
        return rows[listed][None, :k], scores[listed][None, :k]

    def put(self, items: Sequence[Mapping[str, Any]]) -> tuple[list[Any], dict[str, int]]:
        """Put items in by their text; they are in the next list.

        Args:
            items: ``item_id``, and values by side column, the text columns among them.

        Returns:
            Ids of the items that are in now, and the number of all by what became of them.

        Raises:
            InputError: Unknown columns, values of another type, no text, or no text vectors.
        """
        schema = self.dataset.items.schema
        names = list(dict.fromkeys(name for item in items for name in item))
        frame = pl.DataFrame(
            {name: pl.Series([item.get(name) for item in items], dtype=schema[name]) for name in names}
        )
        rows, counts = self.model.put_items(frame)
        self._renew()
        return self.ids(rows), {name: n for name, n in counts.items() if n}

    def remove(self, ids: Sequence[str | int]) -> list[Any]:
        """Remove items from every list; unknown ones are left out.

        Returns:
            Ids of those that were in the catalogue.
        """
        rows = np.unique(self.rows(ids))
        known = self.ids(rows[rows >= 0])
        if known:
            self.model.remove_items(known)
            self._renew()
        return known

    def restore(self, items: Sequence[LiveItem]) -> None:
        """Put in and remove what was put in and removed before."""
        rows = [self.checked(item.item_id, item.text, item.columns) for item in items if not item.deleted]
        if rows:
            self.put(rows)
        if removed := [item.item_id for item in items if item.deleted]:
            self.remove(removed)

    def checked(self, item_id: str | int, text: str | None, columns: Mapping[str, Any]) -> dict[str, Any]:
        """An item as ``put`` takes it: its text stands in the first text column of the log.

        Raises:
            InputError: An unknown column, a value of another type, or a text that is given twice.
        """
        schema = self.dataset.items.schema
        row: dict[str, Any] = {"item_id": self.items.cast(item_id)}
        for name, value in columns.items():
            if name not in schema or name in _NOT_SIDE:
                known = ", ".join(column for column in schema if column not in _NOT_SIDE)
                raise InputError(f"the items have no column {name[:50]!r}; they have {known}.")
            row[name] = _value(name, value, schema[name])
        if text is not None:
            if not (named := self.dataset.manifest.texts.get("columns")):
                raise InputError(
                    "this log was prepared without words of items, so a text says nothing here. Prepare it with "
                    "--item-features.text title."
                )
            if row.get(named[0]) not in (None, text):
                raise InputError(f"text and columns.{named[0]} are both given; give one of them.")
            row[named[0]] = text
        return row


def _value(name: str, value: Any, kind: Any) -> Any:
    """A value of a side column.

    Raises:
        InputError: It is of another type.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.is_integer():
        fits = isinstance(value, int) and is_number and -(2**63) <= value < 2**63
    elif kind.is_float() or kind.is_decimal():
        fits = is_number and abs(value) < 1e300
    elif kind == pl.Boolean:
        fits = isinstance(value, bool)
    elif isinstance(kind, pl.List | pl.Array):
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise InputError(f"columns.{name} holds {kind}; {type(value).__name__} is no such value.")
    return value
