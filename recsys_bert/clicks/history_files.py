"""Histories of a file, one a line or a row: ids separated by blanks, JSON lists or objects, lists of Parquet."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from recsys_bert.errors import InputError
from recsys_bert.parsing import parse_json

_TABLES: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": functools.partial(pl.read_parquet, glob=False),
    ".arrow": pl.read_ipc,
    ".feather": pl.read_ipc,
}


def read_histories(path: Path) -> tuple[list[list[Any]], int]:
    """Read item ids, oldest first.

    ``.parquet`` and ``.arrow`` hold a column of lists, called ``history`` if there are several. A line of another file
    is a JSON list, which ids with blanks need; a JSON object with a list ``history``, or only one list; or ids
    separated by blanks.

    Returns:
        One list a line, empty where a line cannot be read; and the number of those.

    Raises:
        InputError: The file cannot be read, or holds no lists.
    """
    try:
        if path.suffix in _TABLES:
            return _column(_TABLES[path.suffix](path), path), 0
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"the histories {path} cannot be read: {error}.") from error
    parsed = [parse_history(line) for line in lines]
    return [history or [] for history in parsed], sum(history is None for history in parsed)


def parse_history(line: str) -> list[Any] | None:
    """Item ids of one line; None if it is no history."""
    line = line.strip()
    if line[:1] not in ("[", "{"):
        return line.split()
    try:
        value = parse_json(line)
    except ValueError:
        return None
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = value.get("history", lists[0] if len(lists) == 1 else None)
    is_history = isinstance(value, list) and all(isinstance(item, str | int | float) for item in value)
    return value if is_history else None


def _column(table: pl.DataFrame, path: Path) -> list[list[Any]]:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
    name = "history" if "history" in lists else lists[0] if len(lists) == 1 else None
    if name is None:
        raise InputError(
            f"{path.name} has {len(lists)} columns of lists ({', '.join(lists)}); one is needed, or one that is called "
            "'history'."
        )
    return [list(history or []) for history in table[name].to_list()]
