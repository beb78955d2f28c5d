"""``user item item …`` lines: one user a line, items oldest first, no times."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.marks import LINE
from recsys_bert.clicks.prepare.table_config import TableConfig


def scan_lines(path: Path, config: TableConfig) -> pl.LazyFrame:
    """One row per item, in the order of the line; blank lines say nothing.

    A user without items keeps one row without an item, so that it is counted as a bad row and not lost.
    """
    words = pl.col("line").str.strip_prefix("\ufeff").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    lines = pl.scan_lines(path, name="line", glob=False).with_row_index(LINE).with_columns(words)
    lines = lines.filter(pl.col("line").list.first() != "")
    columns = [pl.col("line").list.first().alias("user_id"), pl.col("line").list.slice(1).alias("item_id"), LINE]
    return lines.select(columns).explode("item_id", empty_as_null=True)
