"""MovieLens ``.dat`` files: no header, fields parted by ``::`` (https://files.grouplens.org/datasets/movielens/)."""

from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.decoding import plain_name
from recsys_bert.clicks.prepare.formats.separated import scan_separated
from recsys_bert.clicks.prepare.table_config import TableConfig

COLUMNS = {
    "ratings.dat": ("user_id", "item_id", "rating", "timestamp"),
    "movies.dat": ("item_id", "title", "genres"),
    "users.dat": ("user_id", "gender", "age", "occupation", "zip"),
    "tags.dat": ("user_id", "item_id", "tag", "timestamp"),
}


def scan_movielens(path: Path, config: TableConfig) -> pl.LazyFrame:
    """A file of one of these names; one of another name is taken for ratings."""
    columns = COLUMNS.get(plain_name(path), COLUMNS["ratings.dat"])
    return scan_separated(path, config, "::", None, columns)
