"""MovieLens ``.dat`` files: no header, fields parted by ``::``, Latin-1 text."""

from pathlib import Path

import polars as pl

from recsys_bert.errors import InputError

COLUMNS = {
    "ratings.dat": ("user_id", "item_id", "rating", "timestamp"),
    "movies.dat": ("item_id", "title", "genres"),
    "users.dat": ("user_id", "gender", "age", "occupation", "zip"),
    "tags.dat": ("user_id", "item_id", "tag", "timestamp"),
}


def scan_movielens(paths: list[Path]) -> pl.LazyFrame:
    """Files of one kind; a file of an unknown name is taken for ratings.

    Raises:
        InputError: Different kinds came together.
    """
    kinds = {COLUMNS.get(path.name.removesuffix(".gz"), COLUMNS["ratings.dat"]) for path in paths}
    if len(kinds) > 1:
        names = ", ".join(path.name for path in paths)
        raise InputError(f"these MovieLens files have different columns: {names}. Name one, such as ratings.dat.")
    columns = list(kinds.pop())
    lines = _lines(paths)
    fields = pl.col("line").str.strip_chars_end("\r").str.splitn("::", len(columns)).struct.rename_fields(columns)
    return lines.filter(pl.col("line") != "").select(fields).unnest("line")


def _lines(paths: list[Path]) -> pl.LazyFrame:
    if all(path.name == "movies.dat" for path in paths):  # titles are Latin-1, and the file is small
        text = [line for path in paths for line in path.read_text(encoding="latin-1").split("\n")]
        return pl.LazyFrame({"line": text}, schema={"line": pl.String})
    return pl.scan_lines(paths, name="line", glob=False)
