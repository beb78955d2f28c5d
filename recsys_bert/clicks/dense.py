"""Numbers and vectors of items and users as a prepared folder holds them: one table of float32 rows a feature."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError


@dataclass(frozen=True)
class DenseTable:
    """One numeric or vector feature of all rows.

    Args:
        values: float32 ``[n_rows, width]``, scaled; 0 where a row has none.
        has: bool ``[n_rows]``, True where a row has a value.
    """

    values: NDArray[np.float32]
    has: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """Numbers a row."""
        return int(self.values.shape[1])


Dense = dict[str, DenseTable]
"""Tables by feature."""


class DenseSource(Protocol):
    """A dense feature of items that is added to a prepared log, and that runs keep."""

    @property
    def table(self) -> DenseTable:
        """Its numbers by catalogue row."""

    def save(self, folder: Path) -> None:
        """Write it, and what makes the numbers of new items, into a folder that is there."""


def padded(table: DenseTable, n_rows: int) -> DenseTable:
    """A table with rows of zeros at its end up to ``n_rows``; itself where it has them."""
    n = n_rows - len(table.has)
    return DenseTable(np.pad(table.values, ((0, n), (0, 0))), np.pad(table.has, (0, n))) if n > 0 else table


def save_dense(tables: Iterable[DenseTable], folder: Path) -> None:
    """Write ``0.npy`` with ``0.has.npy``, ``1.npy`` …, in order; no folder without tables."""
    for number, table in enumerate(tables):
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{number}.npy", table.values)
        np.save(folder / f"{number}.has.npy", table.has)


def read_dense(folder: Path, names: Iterable[str]) -> Dense:
    """Map the tables of features in the order of the manifest; they stay on disk.

    Raises:
        InputError: A file is missing or damaged.
    """
    try:
        return {
            name: DenseTable(
                np.load(folder / f"{number}.npy", mmap_mode="r"), np.load(folder / f"{number}.has.npy", mmap_mode="r")
            )
            for number, name in enumerate(names)
        }
    except (OSError, ValueError) as error:
        raise InputError(f"features in {folder} cannot be read: {error}. Run prepare again.") from error
