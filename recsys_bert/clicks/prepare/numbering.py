"""Ids ↔ numbers from 0 on in the order of the ids: by a table where ids are integers close together, else by a join."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

SPAN = 1 << 22  # integers within this many, or within a 16th of the rows, get a table: it stays small beside the log


@dataclass(frozen=True)
class Numbering:
    """The ids of one column; the number of an id is its index in ``ids``.

    Args:
        name: The column.
        ids: Sorted, each once; ``[n]``.
        counts: Rows of each, ``[n]``.
        table: Number of the id ``ids[0] + i`` at ``i``; None where ids are text or far apart.
    """

    name: str
    ids: pl.Series
    counts: NDArray[np.int64]
    table: NDArray[np.int32] | None

    def joined(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Replace ids by numbers if that takes a join; ``of`` does the rest, batch by batch."""
        if self.table is not None:
            return rows
        numbers = pl.LazyFrame({self.name: self.ids, "number": np.arange(len(self.ids), dtype=np.int32)})
        rows = rows.join(numbers, on=self.name, how="left", maintain_order="left")
        return rows.drop(self.name).rename({"number": self.name})

    def of(self, column: pl.Series) -> NDArray[np.int32]:
        """Numbers of a column of ``joined`` rows."""
        if self.table is None:
            return column.to_numpy()
        return self.table[column.to_numpy() - self.ids[0]]


def number(rows: pl.LazyFrame, name: str, n_rows: int, batch: int) -> Numbering:
    """Number the ids of a column without nulls, text or int64.

    Args:
        rows: Holds the column.
        name: Which.
        n_rows: About how many rows there are.
        batch: Rows to look at in one go.
    """
    column = rows.select(name)
    if column.collect_schema()[name].is_integer():
        ends = column.select(pl.min(name).alias("low"), pl.max(name).alias("high"))
        low, high = ends.collect(engine="streaming").row(0)
        if high - low < max(SPAN, n_rows // 16):
            return _tabled(column, name, low, high - low + 1, batch)
    counted = column.group_by(name).len().collect(engine="streaming").sort(name)
    return Numbering(name, counted[name], counted["len"].to_numpy().astype(np.int64), None)


def _tabled(column: pl.LazyFrame, name: str, low: int, span: int, batch: int) -> Numbering:
    counts = np.zeros(span, np.int64)
    for part in batches(column, batch):
        counts += np.bincount(part[name].to_numpy() - low, minlength=span)
    there = counts > 0
    table = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return Numbering(name, pl.Series(name, low + np.flatnonzero(there)), counts[there], table)


def batches(rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
    """Run a query and yield its rows in their order, about ``size`` at a time."""
    return rows.collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
