"""Tables with named columns and types: Parquet, Arrow and JSON."""

import glob
from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.decoding import open_binary
from recsys_bert.clicks.prepare.table_config import TableConfig

_SAMPLE = 10_000


def scan_parquet(path: Path, config: TableConfig) -> pl.LazyFrame:
    """A Parquet file."""
    return pl.scan_parquet(path, glob=False)


def scan_arrow(path: Path, config: TableConfig) -> pl.LazyFrame:
    """An Arrow IPC (feather) file."""
    return pl.scan_ipc(path, glob=False)


def scan_json(path: Path, config: TableConfig) -> pl.LazyFrame:
    """One JSON object a line, or one array of objects; columns and types are those of the first 10,000."""
    with open_binary(path) as file:
        is_array = file.read(1 << 16).lstrip().startswith(b"[")
        if is_array:
            file.seek(0)
            return pl.read_json(file.read(), infer_schema_length=_SAMPLE).lazy()
    # polars takes every name for a pattern here
    return pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=_SAMPLE)
