"""RecBole's atomic files: tab separated, with a header of ``name:type`` fields."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.formats.tables import scan_tsv


def scan_recbole(paths: list[Path]) -> pl.LazyFrame:
    """``.inter``, ``.item`` or ``.user`` files; columns are called what stands before the colon."""
    table = scan_tsv(paths)
    names = table.collect_schema().names()
    return table.rename({name: name.rpartition(":")[0] or name for name in names})
