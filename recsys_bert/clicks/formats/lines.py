"""``user item item …`` lines: one user a line, items oldest first, no times."""

from pathlib import Path

import polars as pl


def scan_lines(paths: list[Path]) -> pl.LazyFrame:
    """One row per item, in the order of the line; blank lines say nothing.

    A user without items keeps one row without an item, so that it is counted as a bad row and not lost.
    """
    words = pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    lines = pl.scan_lines(paths, name="line", glob=False).select(words).filter(pl.col("line").list.first() != "")
    first = pl.col("line").list.first().alias("user_id")
    return lines.select(first, pl.col("line").list.slice(1).alias("item_id")).explode("item_id", empty_as_null=True)
