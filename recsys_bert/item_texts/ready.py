"""Ready vectors of items from anywhere: a table with an id and a vector a line, or an npy file with ids beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.vectors import read_vector_file, vectors_of_table
from recsys_bert.errors import InputError
from recsys_bert.item_texts.tfidf import State

Floats = NDArray[np.float32]


class ReadyVectors:
    """Vectors that some other program made, joined by item id.

    Args:
        source: A frame or file with ids and a column of lists, or columns of numbers; or ``NAME.npy`` ``[n, d]``, whose
            ids are the first column of ``NAME_ids.csv`` beside it, as `export-vectors` writes them.
        id: Id column; None: ``item_id`` where there is one, else the first.
        bad_numbers: Vectors of another width than most, or that are not finite: an error, or missing and counted.
    """

    reads_ids, can_encode, dim, whiten = True, False, None, 0.0

    def __init__(
        self, source: Any = None, *, id: str | None = None, bad_numbers: Literal["error", "missing"] = "error"
    ) -> None:
        self.source, self.config = source, SideFeaturesConfig(id=id, bad_numbers=bad_numbers)

    def of_items(self, item_ids: pl.Series) -> tuple[Floats, dict[str, int]]:
        """Vectors ``[len(item_ids), d]``, zeros where there is none, and counts of what is left out, by reason.

        Raises:
            InputError: They cannot be read, have other widths or numbers that are not finite, or none of their ids is
                in the log.
        """
        if self.source is None:
            raise InputError("ready vectors need a source: a frame, a Parquet file, or an npy file with ids.")
        if isinstance(self.source, str | Path):
            vectors = read_vector_file("vector", str(self.source), self.config, item_ids, "item_id")
        else:
            table = to_frame(self.source, "the ready vectors")
            vectors = vectors_of_table(table, "vector", "the ready vectors", self.config, item_ids, "item_id")
        values, has = vectors.rows(item_ids)
        return values, {**vectors.counts, "of_unknown_items": len(vectors.ids) - int(has.sum())}

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
