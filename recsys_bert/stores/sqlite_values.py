"""SQLite's ways: conditions, values, errors."""

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.parsing import parse_json
from recsys_bert.stores.backend import StoreUnavailable, Vectors
from recsys_bert.stores.columns import ID
from recsys_bert.stores.filters import Value


class SqliteDialect:
    """SQLite's ways."""

    mark = "?"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {ID: "items.id", **{name: f"items.c{n}" for n, name in enumerate(names)}}

    def column(self, name: str) -> str:
        """See ``Dialect``."""
        return self._names[name]

    def one_of(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        """See ``Dialect``; one parameter however many values there are."""
        parameters.append(json.dumps(list(values)))
        return f"{column} IN (SELECT value FROM json_each(?))"

    def any_tag(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        """See ``Dialect``; tags are a list of JSON."""
        parameters.append(json.dumps(list(values)))
        return f"EXISTS (SELECT 1 FROM json_each({column}) AS tag WHERE tag.value IN (SELECT value FROM json_each(?)))"

    def constant(self, value: Value) -> Any:
        """See ``Dialect``; yes is 1."""
        return int(value) if isinstance(value, bool) else value


def stored_value(value: Any) -> Any:
    """Value as SQLite holds it."""
    if isinstance(value, list):
        return json.dumps(value)
    return int(value) if isinstance(value, bool) else value


def loaded_value(value: Any, kind: str) -> Any:
    """Value of a column as it was put."""
    if value is None or kind in ("str", "int", "float"):
        return value
    return json.loads(value) if kind == "tags" else bool(value)


def vector_of(blob: bytes) -> Vectors:
    """Vector of a stored blob."""
    return np.frombuffer(blob, np.float32)


def parsed(text: str) -> Any:
    """Value of a JSON text; None where it is none."""
    with suppress(ValueError):
        return parse_json(text)
    return None


def explained(error: sqlite3.Error, folder: Path) -> InputError:
    """Message for an error of SQLite."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreUnavailable(f"{folder} is being written by another process for longer than 30 s. Try again.")
    if "full" in text:
        return StoreUnavailable(f"{folder} cannot be written: the disk is full. Make room and try again.")
    if "readonly" in text or "unable to open" in text:
        return StoreUnavailable(
            f"{folder} cannot be opened for writing: {text}. Check its mode, or choose another folder."
        )
    print(f"SQLite: {text}", file=sys.stderr)
    return InputError(f"{folder} is no store, or is damaged: {text}. Restore it from a copy, or make it again.")
