"""item_id ↔ item_row: special rows first, then training items from the most frequent on; a grown one keeps its rows."""

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.ids import integer_ids, text_ids
from recsys_bert.errors import InputError

PAD, MASK, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Vocabulary:
    """Rows of the embedding table.

    Row 0 is padding, 1 the mask, ``2 … 1 + n_unknown`` stand for unknown items; training items follow by
    decreasing training count, then id. In a vocabulary that grew from another one, the items of that one come first, in
    the same rows, also those without a training event now.

    Args:
        item_ids: Id of each row in the log's own type, null for special rows; ``[size]``.
        counts: Training events of each row, 0 for special rows; ``[size]``.
        weights: Their summed event weights, ``[size]``.
        n_unknown: Rows that unknown items share.
    """

    item_ids: pl.Series
    counts: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_unknown: int = 1

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return len(self.item_ids)

    @property
    def first_item(self) -> int:
        """First row that is an item."""
        return UNKNOWN + self.n_unknown

    @property
    def n_items(self) -> int:
        """Rows that are items."""
        return self.size - self.first_item

    @cached_property
    def _table(self) -> pl.DataFrame:
        rows = np.arange(self.first_item, self.size, dtype=np.int32)
        return pl.DataFrame({"id": self.item_ids[self.first_item :], "row": rows})

    def rows(self, ids: Any) -> NDArray[np.int32]:
        """Look up ids (a Series or anything that makes one); unknown ids get one of the unknown rows.

        Raises:
            InputError: The ids are not of the log's type.
        """
        item_ids = as_ids(ids, self.item_ids.dtype).rename("id")
        known = item_ids.to_frame().join(self._table, on="id", how="left", maintain_order="left")["row"]
        missing = known.is_null().to_numpy()
        rows = known.fill_null(UNKNOWN).to_numpy().astype(np.int32)
        if self.n_unknown > 1:
            rows[missing] = unknown_rows(item_ids.filter(pl.Series(missing)), self.n_unknown)
        return rows

    def head(self, rows: int) -> "Vocabulary":
        """The first rows: what the vocabulary was before it grew."""
        return Vocabulary(self.item_ids[:rows], self.counts[:rows], self.weights[:rows], self.n_unknown)

    def ids(self, rows: Any) -> pl.Series:
        """Ids of rows; null for special ones."""
        return self.item_ids.gather(np.asarray(rows, dtype=np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the ids in the order of their rows."""
        digest = hashlib.sha256(f"{self.item_ids.dtype} {self.n_unknown}\n".encode())
        for part in range(self.first_item, self.size, 1 << 20):
            ids = self.item_ids[part : part + (1 << 20)]
            digest.update("\n".join(ids.cast(pl.String).to_list()).encode() + b"\n")
        return digest.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write ``vocabulary.parquet``."""
        pl.DataFrame({"item_id": self.item_ids, "count": self.counts, "weight": self.weights}).write_parquet(path)

    @staticmethod
    def load(path: Path) -> "Vocabulary":
        """Read what ``save`` wrote.

        Raises:
            InputError: It is missing or damaged.
        """
        try:
            table = pl.read_parquet(path, glob=False)
            ids, counts, weights = table["item_id"], table["count"].to_numpy(), table["weight"].to_numpy()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path} cannot be read as a vocabulary: {error}. Run prepare again.") from error
        return Vocabulary(ids, counts, weights, ids.null_count() - UNKNOWN)


def as_ids(ids: Any, kind: Any, name: str = "item") -> pl.Series:
    """Cast ids to the log's id type.

    Args:
        ids: Ids of any type.
        kind: Id type of the log.
        name: ``item`` or ``user``, for the message.

    Raises:
        InputError: They cannot be, or are one text and no list.
    """
    if isinstance(ids, str):  # which polars takes as the name of an empty Series
        raise InputError(f"{name} ids are {ids!r}, which is no list; give [{ids!r}].")
    sort = "text" if kind == pl.String else "integers"
    try:
        series = ids if isinstance(ids, pl.Series) else pl.Series(ids)
        cast = series if series.dtype == kind else _cast(series, kind)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise InputError(f"{name} ids of this log are {sort}; these are not: {error}") from error
    bad = series.filter(cast.is_null() & series.is_not_null())
    if len(bad):
        listed = ", ".join(map(repr, bad.head(5).to_list())) + (" …" if len(bad) > 5 else "")
        raise InputError(f"{name} ids of this log are {sort}, which {listed} cannot be.")
    return cast


def _cast(ids: pl.Series, kind: Any) -> pl.Series:
    """Ids in another type; whole floats, and text such as ``12.0``, are integers."""
    column = pl.col("id")
    if kind == pl.String:
        return ids.rename("id").to_frame().select(text_ids(column, ids.dtype))["id"]
    if ids.dtype == pl.String or ids.dtype.is_float():
        return ids.rename("id").to_frame().select(integer_ids(column, ids.dtype))["id"]
    return ids.cast(kind, strict=False)


def unknown_rows(ids: pl.Series, n_unknown: int) -> NDArray[np.int32]:
    """Spread ids over the unknown rows by a hash that is the same on every machine and in every version."""
    hashes = [zlib.crc32(str(value).encode()) for value in ids.to_list()]
    return (UNKNOWN + np.array(hashes, np.int64) % n_unknown).astype(np.int32)
