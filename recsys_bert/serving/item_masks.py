"""Allow and deny lists of requests as masks over catalogue rows; masks that come again are not made again."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.item_filter import column_values
from recsys_bert.serving.id_rows import IdRows

_REMEMBERED = 64


class ItemMasks:
    """Masks of a log's items.

    Args:
        dataset: The log.
        items: Its item ids.
    """

    def __init__(self, dataset: ClickDataset, items: IdRows) -> None:
        self._dataset, self._items = dataset, items
        self._columns: dict[str, dict[str, NDArray[np.int64]]] = {}
        self._masks: OrderedDict[str, tuple[Allowed, list[str]]] = OrderedDict()

    def allowed(self, only: Any, without: Any) -> tuple[Allowed | None, list[str]]:
        """Rows that may be listed, ``[n_rows]`` (None: all), and notes on unknown ids and values.

        Args:
            only: Item ids, or a dict from side columns to values; None: all.
            without: Likewise; None: none.

        Raises:
            InputError: No such column.
        """
        if only is None and without is None:
            return None, []
        key = repr((only, without))
        if key not in self._masks:
            self._masks[key] = self._allowed(only, without)
            if len(self._masks) > _REMEMBERED:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key]

    def _allowed(self, only: Any, without: Any) -> tuple[Allowed, list[str]]:
        first, notes = self._dataset.vocabulary.first_item, list[str]()
        mask = np.arange(self._dataset.n_rows) >= first
        for member in [] if only is None else self._members(only, "only", notes):
            mask &= member
        for member in [] if without is None else self._members(without, "without", notes):
            mask &= ~member
        mask.setflags(write=False)
        return mask, notes

    def _members(self, part: Any, name: str, notes: list[str]) -> list[Allowed]:
        if isinstance(part, Mapping):
            return [self._by_value(column, _listed(values), name, notes) for column, values in part.items()]
        rows = self._items.rows(list(part))
        if n_unknown := int((rows < 0).sum()):
            notes.append(f"{n_unknown} of {len(rows)} ids of {name} are unknown")
        return [self._mask(rows[rows >= 0])]

    def _by_value(self, column: str, values: Sequence[Any], name: str, notes: list[str]) -> Allowed:
        if column not in self._columns:
            lists = column_values(self._dataset, column)
            table = pl.DataFrame({"row": np.arange(len(lists)), "value": lists}).explode("value", empty_as_null=True)
            groups = table.drop_nulls().group_by("value").agg("row")
            self._columns[column] = {value: np.array(rows, np.int64) for value, rows in groups.iter_rows()}
        known, rows = self._columns[column], list[NDArray[np.int64]]()
        for value in map(_text, values):
            if value in known:
                rows.append(known[value])
            else:
                notes.append(f"no item has the {column} {value[:100]!r} of {name}")
        return self._mask(np.concatenate(rows) if rows else np.zeros(0, np.int64))

    def _mask(self, rows: NDArray[np.int64]) -> Allowed:
        mask = np.zeros(self._dataset.n_rows, np.bool_)
        mask[rows + self._dataset.vocabulary.first_item] = True
        return mask


def _listed(values: Any) -> Sequence[Any]:
    return [values] if isinstance(values, str | int | float | bool) else list(values)


def _text(value: Any) -> str:
    """A value as the catalogue's text of it: whole floats as whole numbers."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not np.isfinite(value):
            raise InputError("a value of only or without is not finite.")
        return str(int(value)) if value == int(value) else str(value)
    return str(value).strip()
