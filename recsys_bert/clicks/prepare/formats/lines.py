"""``user item item …`` lines: one user a line, items oldest first, no times."""

from pathlib import Path

import polars as pl


def scan_lines(paths: list[Path]) -> pl.LazyFrame:
    """One row per item, in the order of the line; blank lines say nothing.

    A user without items keeps one row without an item, so that it is counted as a bad row and not lost.
    """
    first = pl.col("line").list.first().alias("user_id")
    return (
        _words(paths)
        .select(first, pl.col("line").list.slice(1).alias("item_id"))
        .explode("item_id", empty_as_null=True)
    )


def line_of(path: Path, row: int) -> int:
    """Line, from 0 on, that a row of one file stands in."""
    rows = (pl.col("line").list.len() - 1).clip(1).cast(pl.Int64).cum_sum()
    return int(_words([path]).filter(rows > row).select("number").head(1).collect().item())


def _words(paths: list[Path]) -> pl.LazyFrame:
    """``number`` of each line that is not blank, and ``line``, its words."""
    words = pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    lines = pl.scan_lines(paths, name="line", glob=False).with_row_index("number").with_columns(words)
    return lines.filter(pl.col("line").list.first() != "")
