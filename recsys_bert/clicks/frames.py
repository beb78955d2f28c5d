"""Data frames of any library, or a file, as polars frames."""

from pathlib import Path
from typing import Any

import polars as pl

from recsys_bert.errors import InputError

Frame = Any
"""A polars, pandas, pyarrow or duckdb table, anything else with ``__arrow_c_stream__``, or a dict of columns."""


def to_frame(data: Frame, name: str = "data") -> pl.DataFrame:
    """Take a table of any library over the Arrow PyCapsule interface; a dict of columns too.

    Args:
        data: The table.
        name: Name in the error.

    Raises:
        InputError: It is no table.
    """
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, dict) or hasattr(data, "__arrow_c_stream__"):
        try:
            return pl.DataFrame(data)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{name} cannot be read as a table: {error}.") from error
    kind = f"the path {str(data)!r}" if isinstance(data, str | Path) else f"a {type(data).__name__}"
    raise InputError(
        f"{name} is {kind}; a table is needed: polars, pandas, pyarrow, anything with the Arrow PyCapsule interface, "
        "or a dict of columns."
    )
