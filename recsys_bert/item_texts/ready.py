"""Ready vectors of items from anywhere: a table with an id and a vector a line, or an npy file with ids beside it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.prepare.sources import read_table
from recsys_bert.clicks.vocabulary import as_ids
from recsys_bert.errors import InputError
from recsys_bert.item_texts.tfidf import State

Floats = NDArray[np.float32]


class ReadyVectors:
    """Vectors that some other program made, joined by item id.

    Args:
        source: A frame or file with ids and a column of lists (or several of numbers); or ``NAME.npy`` ``[n, d]``,
            whose ids are the first column of ``NAME_ids.csv`` beside it, as `export-vectors` writes them.
        id: Id column; None: ``item_id`` where there is one, else the first.
        ids: File of the ids of an npy file, if it is called otherwise.
    """

    reads_ids, can_encode, dim, whiten = True, False, None, 0.0

    def __init__(self, source: Any = None, *, id: str | None = None, ids: str | None = None) -> None:
        self.source, self.id, self.ids = source, id, ids

    def of_items(self, item_ids: pl.Series) -> tuple[Floats, dict[str, int]]:
        """Vectors ``[len(item_ids), d]``, zeros where there is none, and counts of ids that are left out.

        Raises:
            InputError: The vectors cannot be read, have other widths or numbers that are not finite, or none of their
                ids is in the log.
        """
        if self.source is None:
            raise InputError("ready vectors need a source: a frame, a Parquet file, or an npy file with ids.")
        ids, vectors = self._read()
        if bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
            raise InputError(
                f"{len(bad):,} of {len(vectors):,} ready vectors hold NaN or infinity, first that of item "
                f"{ids[bad[0]]!r}. Mend or leave them out."
            )
        name = self._name()
        known = as_ids(ids, item_ids.dtype).rename("id")
        first = known.is_not_null() & known.is_first_distinct()
        table = pl.DataFrame({"id": known, "row": np.arange(len(known))}).filter(first)
        row = item_ids.rename("id").to_frame().join(table, on="id", how="left", maintain_order="left")["row"]
        at = row.fill_null(-1).to_numpy()
        if (at < 0).all():
            raise InputError(
                f"none of the {len(ids):,} ids of {name} is in the log: they are like {ids[0]!r}, the log's like "
                f"{item_ids[0]!r}."
            )
        counts = {
            "ready_vectors": len(ids),
            "of_unknown_items": table.height - int((at >= 0).sum()),
            "of_repeated_ids": len(ids) - table.height - known.null_count(),
            "without_id": known.null_count(),
        }
        padded = np.vstack([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
        return padded[at], counts

    def _name(self) -> str:
        return str(self.source) if isinstance(self.source, str | Path) else "the ready vectors"

    def _read(self) -> tuple[pl.Series, Floats]:
        """Ids and vectors."""
        if isinstance(self.source, str | Path) and Path(self.source).suffix == ".npy":
            return self._read_npy(Path(self.source))
        if self.ids is not None:
            raise InputError(f"the option ids is {self.ids!r}, but {self._name()} is no npy file. Leave it out.")
        if isinstance(self.source, str | Path):
            try:
                table = read_table(self.source)
            except pl.exceptions.PolarsError as error:
                raise InputError(f"{self.source} cannot be read: {error}.") from error
        else:
            table = to_frame(self.source, "ready vectors")
        if not table.width:
            raise InputError(f"{self._name()} has no columns.")
        name = self.id or ("item_id" if "item_id" in table.columns else table.columns[0])
        if name not in table.columns:
            raise InputError(f"{self._name()} has no column {name!r}; it has {', '.join(map(repr, table.columns))}.")
        return table[name], _matrix(table.drop(name), self._name())

    def _read_npy(self, path: Path) -> tuple[pl.Series, Floats]:
        beside = Path(self.ids) if self.ids else path.with_name(f"{path.stem}_ids.csv")
        if not beside.is_file():
            raise InputError(f"the ids of {path} are missing: there is no {beside}. Name their file by the option ids.")
        try:
            vectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as an npy array: {error}.") from error
        ids = read_table(beside)
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or len(vectors) != ids.height:
            raise InputError(
                f"{path} holds {vectors.dtype} {list(vectors.shape)} and {beside} {ids.height:,} ids; needed are "
                "numbers [ids, width]."
            )
        return ids[self.id or ids.columns[0]], vectors.astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Refuse: what made the vectors is not known.

        Raises:
            InputError: Always.
        """
        raise InputError("ready vectors say nothing about new texts. Make item vectors by tfidf, words or an encoder.")

    def state(self) -> State:
        """Nothing but the vectors themselves."""
        return {}

    def restore(self, state: State) -> "ReadyVectors":
        """Nothing to take up."""
        return self


def _matrix(columns: pl.DataFrame, name: str) -> Floats:
    """Vectors of a column of lists, or of columns of numbers, ``[n, d]``; a missing one is an error."""
    lists = [column for column in columns if isinstance(column.dtype, pl.List | pl.Array)]
    if len(lists) == 1:
        return _of_lists(lists[0], name)
    numbers = [column for column in columns if column.dtype.is_numeric()]
    if lists or not numbers:
        kinds = ", ".join(f"{column.name} {column.dtype}" for column in columns)
        raise InputError(
            f"{name} has no vectors: one column of lists, or columns of numbers, are needed; it has {kinds}."
        )
    if len(numbers) < columns.width:
        left = [column.name for column in columns if not column.dtype.is_numeric()]
        print(f"{name}: {', '.join(left)} hold no numbers and are left out.", file=sys.stderr)
    return np.column_stack([column.cast(pl.Float32).fill_null(np.nan).to_numpy() for column in numbers])


def _of_lists(column: pl.Series, name: str) -> Floats:
    column = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    lengths = column.list.len().fill_null(0)
    widths = lengths.value_counts(sort=True)
    if widths.height and (widths.height > 1 or not widths[0, 0]):
        listed = ", ".join(f"{width} ({n:,} rows)" for width, n in widths.head(5).rows())
        raise InputError(f"{name}, column {column.name!r}: vectors are of width {listed}; all need the same one.")
    try:
        flat = column.explode().cast(pl.Float32).fill_null(np.nan).to_numpy()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{name}, column {column.name!r} holds {column.dtype}; vectors hold numbers.") from error
    return np.asarray(flat, np.float32).reshape(len(column), -1)
