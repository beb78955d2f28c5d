"""Tables with named columns: Parquet, Arrow, CSV, TSV and JSON lines."""

import glob
from pathlib import Path

import polars as pl


def scan_parquet(paths: list[Path]) -> pl.LazyFrame:
    """Parquet files, in the given order; where the same columns are of several types, a type that holds all of them."""
    schemas = [pl.scan_parquet(path, glob=False).collect_schema() for path in paths]
    first = schemas[0]
    if all(dict(schema) == dict(first) or schema.keys() != first.keys() for schema in schemas):
        return pl.scan_parquet(paths, glob=False)
    return pl.concat([pl.scan_parquet(path, glob=False).select(first.keys()) for path in paths], how="vertical_relaxed")


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
    plain = [glob.escape(str(path)) for path in paths]  # polars takes every name for a pattern here
    return pl.scan_ndjson(plain, infer_schema_length=10_000)
