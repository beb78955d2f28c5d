"""Codes and values of side features, as a prepared folder holds them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.lineage import UNKNOWN_VALUE
from recsys_bert.errors import InputError

Codes = dict[str, NDArray[np.int32]]
"""Codes of each row by feature, ``[n_rows, width]``."""


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet file of a prepared folder.

    Raises:
        InputError: It is missing or damaged.
    """
    try:
        return pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read: {error}. Run prepare again.") from error


def read_codes(folder: Path, names: Iterable[str]) -> Codes:
    """Map the codes of features in the order of the manifest.

    Raises:
        InputError: A file is missing or damaged.
    """
    try:
        return {name: np.load(folder / f"{number}.npy", mmap_mode="r") for number, name in enumerate(names)}
    except (OSError, ValueError) as error:
        raise InputError(f"features in {folder} cannot be read: {error}. Run prepare again.") from error


def known_codes(codes: Codes, sizes: Mapping[str, int]) -> Codes:
    """Codes of some features; those from ``sizes`` on are of values unknown then."""
    return {
        name: np.where(codes[name] < size, codes[name], UNKNOWN_VALUE).astype(np.int32) for name, size in sizes.items()
    }


def read_values(folder: Path, names: Iterable[str]) -> dict[str, pl.Series]:
    """Values of each feature in the order of their codes.

    Raises:
        InputError: The file is damaged.
    """
    path, empty = folder / "values.parquet", pl.DataFrame(schema={"feature": pl.String, "value": pl.String})
    table = read_table(path).sort("code") if path.is_file() else empty
    return {name: table.filter(pl.col("feature") == name)["value"] for name in names}
