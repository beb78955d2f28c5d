"""Tables with named columns: Parquet, Arrow, CSV, TSV and JSON lines."""

from pathlib import Path

import polars as pl


def scan_parquet(paths: list[Path]) -> pl.LazyFrame:
    """Parquet files, in the given order."""
    return pl.scan_parquet(paths, glob=False)


def scan_arrow(paths: list[Path]) -> pl.LazyFrame:
    """Arrow IPC (feather) files."""
    return pl.scan_ipc(paths, glob=False)


def scan_csv(paths: list[Path]) -> pl.LazyFrame:
    """Comma separated, with a header; every column is text, so that ids and times keep what was written."""
    return pl.scan_csv(paths, infer_schema=False, glob=False)


def scan_tsv(paths: list[Path]) -> pl.LazyFrame:
    """Tab separated, with a header; quotes are ordinary characters."""
    return pl.scan_csv(paths, separator="\t", quote_char=None, infer_schema=False, glob=False)


def scan_jsonl(paths: list[Path]) -> pl.LazyFrame:
    """One JSON object a line; columns and their types are those of the first 10,000 lines."""
    return pl.scan_ndjson(paths, infer_schema_length=10_000)
