"""Diginetica's ``train-item-views.csv`` (https://competitions.codalab.org/competitions/11161)."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.formats.separated import scan_separated
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.table_config import TableConfig

_NAMES = {"sessionId": "session_id", "userId": "user_id", "itemId": "item_id"}  # both spellings were published


def scan_views(path: Path, config: TableConfig) -> pl.LazyFrame:
    """Give ``session_id``, ``user_id``, ``item_id`` and ``timestamp``, the session's date plus the milliseconds."""
    table = scan_separated(path, config, ";", '"').rename(_NAMES, strict=False)
    date = pl.col("eventdate").str.to_datetime("%Y-%m-%d", time_unit="us", strict=False)
    since = pl.duration(milliseconds=pl.col("timeframe").cast(pl.Int64, strict=False))
    marks = [name for name in (RAGGED, LINE) if name in table.collect_schema()]
    return table.select("session_id", "user_id", "item_id", (date + since).alias("timestamp"), *marks)
