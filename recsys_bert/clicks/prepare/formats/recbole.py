"""RecBole's atomic files: tab separated, with a header of ``name:type`` fields."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.formats.separated import scan_tsv
from recsys_bert.clicks.prepare.table_config import TableConfig


def scan_recbole(path: Path, config: TableConfig) -> pl.LazyFrame:
    """A ``.inter``, ``.item`` or ``.user`` file; columns are called what stands before the colon."""
    table = scan_tsv(path, config)
    names = table.collect_schema().names()
    return table.rename({name: name.rpartition(":")[0] or name for name in names})
