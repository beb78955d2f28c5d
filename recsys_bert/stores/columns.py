"""Columns of a store: their types, and values and filters checked against them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.stores.filter_json import from_json
from recsys_bert.stores.filter_text import parse_filter
from recsys_bert.stores.filters import And, Compare, Filter, In, Located, Missing, Not, Or, leaves

ColumnType = Literal["int", "float", "bool", "str", "tags"]
"""``tags`` is a list of strings, as an item's genres. Any value may be missing (None), and no tags are missing ones."""

Columns = Mapping[str, ColumnType]
IdType = Literal["str", "int"]

ID = "id"
"""Name under which filters read the id of a row."""

MAX_COLUMNS = 25
"""Milvus has 64 fields, of which a column takes two."""

MAX_ID_BYTES = 512
"""Elasticsearch takes no longer ids."""

MAX_STRING_BYTES = 8_000
"""Longest string of a column, in UTF-8."""

MAX_TEXT_BYTES = 60_000
"""Longest text of a row, in UTF-8; Milvus has strings of 65,535 bytes."""

MAX_LISTED = 10_000
"""Most values after ``in``."""

MAX_COMPARISONS = 900
"""Most comparisons of a filter; SQLite nests no expression deeper than 1,000."""


def check_columns(columns: Mapping[str, str]) -> Columns:
    """Check the columns of a new store.

    Raises:
        InputError: Unknown types, names that are empty, too long or taken, or too many columns.
    """
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"{len(columns)} columns are given; a store has {MAX_COLUMNS} at most. Leave some out.")
    for name, kind in columns.items():
        if kind not in get_args(ColumnType):
            raise unknown_name(f"type of a column ({name})", str(kind), get_args(ColumnType))
        if not isinstance(name, str) or not 1 <= len(name) <= 100 or "`" in name or "\0" in name or name == ID:
            raise InputError(
                f"no column can be called {str(name)[:50]!r}: a name has 1 to 100 characters, no backquote, and is not "
                f"{ID!r}."
            )
        check_unicode(name, "the name of a column")
    return {str(name): kind for name, kind in columns.items()}  # type: ignore[misc]


def check_unicode(text: str, what: str) -> None:
    """Refuse text that some store cannot hold.

    Raises:
        InputError: Halves of characters, or the character U+0000.
    """
    if "\0" in text:
        raise InputError(f"{what} holds the character U+0000, which databases cannot store: {text[:50]!r}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} is no Unicode text, it holds half a character: {text[:50]!r}.") from None


def id_keys(ids: Sequence[Any], kind: IdType) -> list[str]:
    """Ids as the strings that stores hold.

    Raises:
        InputError: Ids of another type, that are too long, or that no store can hold.
    """
    keys = [_key(one, kind) for one in ids]
    if kind == "str":
        long = next(
            (key for key in keys if not key or len(key) > MAX_ID_BYTES or len(key.encode()) > MAX_ID_BYTES), None
        )
        if long is not None:
            raise InputError(f"id {long[:50]!r} has {len(long.encode())} bytes; 1 to {MAX_ID_BYTES} are allowed.")
    return keys


def _key(one: Any, kind: IdType) -> str:
    if kind == "str" and isinstance(one, str):
        check_unicode(one, "an id")
        return one
    if kind == "int" and not isinstance(one, bool) and hasattr(one, "__index__"):
        number = int(one)
        if -(2**63) <= number < 2**63:
            return str(number)
        raise InputError(f"id {number} does not fit into 64 bits.")
    needed = "strings" if kind == "str" else "whole numbers"
    raise InputError(f"id {str(one)[:50]!r} is a {type(one).__name__}; ids of this store are {needed}.")


def check_values(columns: Columns, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Values of rows in the order of the columns; missing ones are None.

    Raises:
        InputError: Unknown columns, values of another type, or numbers that are not finite.
    """
    for row in rows:
        for name in row:
            if name not in columns:
                raise unknown_name("column of this store", str(name), columns)
    return [[_value(name, kind, row.get(name)) for name, kind in columns.items()] for row in rows]


def _value(name: str, kind: ColumnType, value: Any) -> Any:
    if value is None:
        return None
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and not isinstance(value, bool) and hasattr(value, "__index__") and -(2**63) <= int(value) < 2**63:
        return int(value)
    if kind == "float" and not isinstance(value, bool) and (isinstance(value, float) or hasattr(value, "__index__")):
        if not math.isfinite(value):
            raise InputError(f"column {name!r} has the value {value}; numbers are finite, and None stands for missing.")
        return float(value)
    if kind == "str" and isinstance(value, str):
        return _string(name, value)
    if kind == "tags" and isinstance(value, list | tuple) and all(isinstance(tag, str) for tag in value):
        return [_string(name, tag) for tag in dict.fromkeys(value)] or None  # Elasticsearch has no empty list
    raise InputError(
        f"column {name!r} has the value {str(value)[:50]!r}, a {type(value).__name__}; it is of type {kind}."
    )


def _string(name: str, value: str) -> str:
    check_unicode(value, f"column {name!r}")
    if len(value.encode()) > MAX_STRING_BYTES:
        raise InputError(
            f"column {name!r} has a string of {len(value):,} characters; {MAX_STRING_BYTES:,} bytes at most."
        )
    return value


def check_texts(texts: Sequence[str | None]) -> None:
    """Refuse texts that cannot be stored.

    Raises:
        InputError: No strings, too long ones, or text that is no Unicode.
    """
    for text in texts:
        if text is None:
            continue
        if not isinstance(text, str):
            raise InputError(f"text {str(text)[:50]!r} is a {type(text).__name__}; a string or None is needed.")
        check_unicode(text, "a text")
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise InputError(f"a text has {len(text.encode()):,} bytes; {MAX_TEXT_BYTES:,} at most are stored.")


def checked_filter(source: Any, columns: Columns, ids: IdType) -> Filter | None:
    """Parse a filter and check its types against the columns.

    Args:
        source: Text, the JSON form, a tree, or None for no filter.
        columns: Columns of the store.
        ids: Type of its ids, which filters read as ``id``.

    Raises:
        InputError: It is no filter, names columns that are not there, or compares what cannot be compared.
    """
    if source is None:
        return None
    if isinstance(source, str):
        located = parse_filter(source)
    elif isinstance(source, And | Or | Not | Compare | In | Missing):
        located = Located(source, {}, "the tree")
    else:
        located = from_json(source)
    comparisons = leaves(located.tree)
    if len(comparisons) > MAX_COMPARISONS:
        raise InputError(
            f"the filter has {len(comparisons):,} comparisons; {MAX_COMPARISONS} at most. Write column in (…) for many "
            "values of one column."
        )
    for leaf in comparisons:
        try:
            _check_leaf(leaf, {**columns, ID: ids})
        except InputError as error:
            where = located.positions.get(id(leaf), "")
            raise InputError(f"filter{', ' if where else ''}{where}: {error}") from None
    return _whole(located.tree, columns)


def _whole(tree: Filter, columns: Columns) -> Filter:
    """The same filter, its columns of whole numbers compared with whole numbers only, as some stores need it."""
    if isinstance(tree, And | Or):
        return type(tree)(tuple(_whole(part, columns) for part in tree.parts))
    if isinstance(tree, Not):
        return Not(_whole(tree.part, columns))
    if isinstance(tree, Missing) or columns.get(tree.column) != "int":
        return tree
    never = And((Missing(tree.column), Not(Missing(tree.column))))
    if isinstance(tree, In):
        values = tuple(int(value) for value in tree.values if value == int(value) and -(2**63) <= value < 2**63)
        return In(tree.column, values) if values else never
    value = float(tree.value)
    if isinstance(tree.value, int) or (value.is_integer() and -(2**63) <= value < 2**63):
        return Compare(tree.column, tree.op, int(tree.value))
    if tree.op in ("==", "!="):
        return never if tree.op == "==" else Not(Missing(tree.column))
    whole = math.floor(value) if tree.op in ("<=", ">") else math.ceil(value)
    if -(2**63) <= whole < 2**63:
        return Compare(tree.column, tree.op, whole)
    return Not(Missing(tree.column)) if (tree.op in ("<", "<=")) == (value > 0) else never


def _check_leaf(leaf: Compare | In | Missing, columns: Columns) -> None:
    if leaf.column not in columns:
        raise unknown_name("column", leaf.column, columns)
    kind = columns[leaf.column]
    if isinstance(leaf, Missing):
        return
    if isinstance(leaf, In):
        if len(leaf.values) > MAX_LISTED:
            raise InputError(f"{len(leaf.values):,} values are listed; {MAX_LISTED:,} at most.")
        for value in leaf.values:
            _check_constant(leaf.column, kind, value)
        return
    if kind == "tags":
        raise InputError(f'{leaf.column!r} is a list of tags; write "a tag" in {leaf.column}.')
    _check_constant(leaf.column, kind, leaf.value)
    if leaf.op not in ("==", "!=") and (kind not in ("int", "float") or leaf.column == ID):
        raise InputError(f"{leaf.op!r} orders numbers, and {leaf.column!r} is of type {kind}; use ==, != or in.")


def _check_constant(name: str, kind: ColumnType, value: Any) -> None:
    if isinstance(value, str):
        check_unicode(value, "a string")
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int if name == ID else int | float) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "tags": isinstance(value, str),
    }[kind]
    if not fits:
        raise InputError(f"{str(value)[:50]!r} is a {type(value).__name__}; {name!r} is of type {kind}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name!r} is compared with {value}; numbers are finite.")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"{name!r} is compared with {value}, which does not fit into 64 bits.")
