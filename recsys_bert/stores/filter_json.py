"""Filters as JSON, for requests: ``{"and": [{"<": ["price", 20]}, {"not": "sold_out"}]}``.

One operator an object: ``and``, ``or`` (lists of filters), ``not`` (a filter), ``==``, ``!=``, ``<``, ``<=``, ``>``,
``>=`` (column and value), ``in`` (column and values), ``missing`` (a column); a column's name alone is a yes/no column.
"""

from collections.abc import Callable
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.stores.filter_text import MAX_DEPTH
from recsys_bert.stores.filters import FLIPPED, And, Compare, Filter, In, Located, Missing, Not, Or, Value

_OPERATORS = ("and", "or", "not", "in", "missing", *FLIPPED)


def from_json(value: Any) -> Located:
    """Read the JSON form of a filter.

    Raises:
        InputError: It is none; the message names the place, as in ``and[1].in``.
    """
    positions: dict[int, str] = {}
    return Located(_read(value, "", positions, 0), positions, "the JSON form")


def _read(value: Any, path: str, positions: dict[int, str], depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise _error(path, f"filters are nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        return _leaf(Compare(value, "==", True), path, positions)
    if not isinstance(value, dict) or len(value) != 1:
        raise _error(path, f"{_short(value)} is there; an object of one operator or a column's name is needed")
    ((name, inner),) = value.items()
    path = f"{path}.{str(name)[:40]}".lstrip(".")
    if name in ("and", "or"):
        return _group(And if name == "and" else Or, inner, path, positions, depth)
    if name == "not":
        return Not(_read(inner, path, positions, depth + 1))
    if name == "missing":
        return _leaf(Missing(_text(inner, path)), path, positions)
    if name == "in":
        column, values = _pair(inner, path, "a column and a list of values")
        if not isinstance(values, list) or not values:
            raise _error(path, f"{_short(values)} is there; a list of one value or more is needed")
        return _leaf(In(_text(column, path), tuple(_constant(one, path) for one in values)), path, positions)
    if name in FLIPPED:
        column, constant = _pair(inner, path, "a column and a value")
        return _leaf(Compare(_text(column, path), name, _constant(constant, path)), path, positions)
    raise _error(path, f"no operator is called {_short(name)}. Known: {', '.join(_OPERATORS)}")


def _group(kind: Callable[..., Filter], inner: Any, path: str, positions: dict[int, str], depth: int) -> Filter:
    if not isinstance(inner, list) or not inner:
        raise _error(path, f"{_short(inner)} is there; a list of one filter or more is needed")
    parts = tuple(_read(one, f"{path}[{n}]", positions, depth + 1) for n, one in enumerate(inner))
    return parts[0] if len(parts) == 1 else kind(parts)


def _leaf(tree: Filter, path: str, positions: dict[int, str]) -> Filter:
    positions[id(tree)] = f"at {path or 'the top'}"
    return tree


def _pair(value: Any, path: str, needed: str) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise _error(path, f"{_short(value)} is there; [{needed}] is needed")
    return value[0], value[1]


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _error(path, f"{_short(value)} is there; a column's name is needed")
    return value


def _constant(value: Any, path: str) -> Value:
    if not isinstance(value, bool | int | float | str):
        raise _error(path, f"{_short(value)} is there; a number, a string, true or false is needed")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _error(path: str, reason: str) -> InputError:
    return InputError(f"filter, at {path or 'the top'}: {reason}.")
