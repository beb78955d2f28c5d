"""Vectors with their ids as files, for tools of other origin."""

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from recsys_bert.files import replacing

VectorFormat = Literal["parquet", "npy"]


def save_vectors(frame: pl.DataFrame, folder: Path, name: str, form: VectorFormat) -> list[Path]:
    """Write one file ``name.parquet``, or ``name.npy`` with ``name_ids.csv``, whose lines are in the same order.

    Args:
        frame: Ids in the first column, ``vector`` in the second.
        folder: Made where it is missing.
        name: Stem of the files.
        form: ``parquet`` or ``npy``.

    Raises:
        InputError: They cannot be written.
    """
    if form == "parquet":
        with replacing(folder / f"{name}.parquet") as temporary:
            frame.write_parquet(temporary)
        return [folder / f"{name}.parquet"]
    with replacing(folder / f"{name}_ids.csv") as temporary:
        frame.select(frame.columns[0]).write_csv(temporary)
    with replacing(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, frame["vector"].to_numpy())
    return [folder / f"{name}.npy", folder / f"{name}_ids.csv"]
