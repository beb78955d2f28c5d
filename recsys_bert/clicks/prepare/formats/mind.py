"""MIND's ``behaviors.tsv``: impressions of news with clicks, and each user's earlier clicks (https://msnews.github.io)."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.formats.separated import scan_separated
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.table_config import TableConfig

COLUMNS = ("impression_id", "user_id", "time", "history", "impressions")
_TIME = "%m/%d/%Y %I:%M:%S %p"


def scan_impressions(path: Path, config: TableConfig) -> pl.LazyFrame:
    """One row an item shown: ``impression_id``, ``user_id``, ``timestamp``, ``item_id``, ``label``, ``history``.

    ``history`` is the list of news clicked before. ``label`` is null in the test set, which has none.
    """
    impressions = _behaviors(path, config).explode("impressions", empty_as_null=True, keep_nulls=True)
    parts = pl.col("impressions").str.extract_groups(r"^(.*?)(?:-([01]))?$").struct
    columns = [pl.col("impression_id", "user_id", "timestamp", "history"), *_marks(impressions)]
    return impressions.select(*columns, parts.field("1").alias("item_id"), parts.field("2").alias("label"))


def scan_clicks(path: Path, config: TableConfig) -> pl.LazyFrame:
    """One row a click: ``user_id``, ``item_id``, ``timestamp``.

    The file repeats a user's earlier clicks, which have no times, in each of its lines. They are read once, before all
    others, with the time of the user's first impression.
    """
    lines = _behaviors(path, config)
    good = lines.filter(pl.col(RAGGED).not_()) if RAGGED in lines.collect_schema() else lines
    first = good.filter(pl.col("timestamp") == pl.col("timestamp").min().over("user_id"))
    first = first.unique("user_id", keep="first", maintain_order=True).filter(pl.col("history").list.len() > 0)
    earlier = first.explode("history").select(
        "user_id", pl.col("history").alias("item_id"), "timestamp", *_marks(lines)
    )
    impressions = scan_impressions(path, config)
    is_click = pl.col("label") == "1"
    clicked = impressions.filter(is_click | pl.col(RAGGED) if RAGGED in lines.collect_schema() else is_click)
    return pl.concat([earlier, clicked.select("user_id", "item_id", "timestamp", *_marks(lines))])


def _behaviors(path: Path, config: TableConfig) -> pl.LazyFrame:
    table = scan_separated(path, config, "\t", None, COLUMNS)
    words = [pl.col(name).str.strip_chars().str.split(" ").alias(name) for name in ("history", "impressions")]
    time = pl.col("time").str.to_datetime(_TIME, time_unit="us", strict=False).alias("timestamp")
    if LINE not in table.collect_schema():  # lines become several rows
        table = table.with_row_index(LINE)
    return table.select("impression_id", "user_id", time, *words, *_marks(table))


def _marks(table: pl.LazyFrame) -> list[pl.Expr]:
    return [pl.col(name) for name in (RAGGED, LINE) if name in table.collect_schema()]
