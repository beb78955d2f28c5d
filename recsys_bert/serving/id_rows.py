"""Ids → rows for single look-ups: a sorted table of 16 bytes an id, without a join per request."""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.ids import WRITTEN_WHOLE
from recsys_bert.errors import InputError

_WHOLE, _INT64 = re.compile(WRITTEN_WHOLE), 2**63
_FEW = 64  # one by one is faster than one call for all


class IdRows:
    """Rows of ids.

    Args:
        ids: Distinct ids, int64 or text; the row of each is its position.
        kind: ``item`` or ``user``, for messages.
    """

    def __init__(self, ids: pl.Series, kind: str) -> None:
        self._ids, self._kind, self.are_text = ids, kind, ids.dtype == pl.String
        keys = self._keys_of(ids.to_list()) if self.are_text else ids.cast(pl.Int64).to_numpy()
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def cast(self, value: str | int) -> str | int:
        """One id in the log's type, as ``as_ids`` casts it.

        Raises:
            InputError: It cannot be.
        """
        if self.are_text:
            return str(value)
        if isinstance(value, str):
            if not _WHOLE.match(value) or not -_INT64 <= (number := int(value.partition(".")[0])) < _INT64:
                raise InputError(f"{self._kind} ids of this log are integers, which {value[:100]!r} cannot be.")
            return number
        if not -_INT64 <= value < _INT64:
            raise InputError(f"{self._kind} ids of this log are integers of 64 bits; one of these is not.")
        return value

    def rows(self, ids: Sequence[str | int]) -> NDArray[np.int64]:
        """Rows of ids; -1 where there is none.

        Raises:
            InputError: Ids of another type than the log's.
        """
        values = [self.cast(value) for value in ids]
        rows = np.full(len(values), -1, np.int64)
        if not values or not len(self._keys):
            return rows
        keys = self._keys_of(values)
        first, stop = (np.searchsorted(self._keys, keys, side) for side in ("left", "right"))
        for number in np.flatnonzero(stop > first).tolist():
            for row in self._order[first[number] : stop[number]].tolist():
                if not self.are_text or self._ids[row] == values[number]:
                    rows[number] = row
        return rows

    def ids(self, rows: NDArray[np.integer[Any]]) -> list[Any]:
        """Ids of rows."""
        if len(rows) <= _FEW:
            return [self._ids[row] for row in rows.tolist()]
        return self._ids.gather(pl.Series(rows, dtype=pl.UInt32)).to_list()

    def _keys_of(self, values: Sequence[Any]) -> NDArray[np.int64]:
        """Integers to look up by: the ids, or checksums of texts."""
        if not self.are_text:
            return np.array(values, np.int64)
        texts = (zlib.crc32(value.encode("utf-8", "surrogatepass")) for value in values)
        return np.fromiter(texts, np.int64, len(values))
