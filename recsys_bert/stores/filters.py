"""Filters as trees: made from text or JSON, checked against the columns, compiled by each store.

A filter is true or false of a row, never unknown: a comparison with a missing value is false, so ``not sold_out`` holds
where ``sold_out`` is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Value = bool | int | float | str

FLIPPED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class And:
    """True if every part is."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Or:
    """True if any part is."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Not:
    """True if the part is false."""

    part: "Filter"


@dataclass(frozen=True)
class Compare:
    """A column's value compared with a constant; false where it is missing, ``!=`` too."""

    column: str
    op: Operator
    value: Value


@dataclass(frozen=True)
class In:
    """A column's value is one of several; of a column of tags: any of its tags is."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """A column has no value in this row."""

    column: str


Filter = And | Or | Not | Compare | In | Missing


@dataclass(frozen=True)
class Located:
    """A filter with the position of each leaf in what it was made from, for messages."""

    tree: Filter
    positions: Mapping[int, str]
    """Position by the ``id`` of a leaf, as in ``"column 9"``."""

    source: str
    """The filter as it came, for messages."""


def columns_of(tree: Filter) -> set[str]:
    """Names of the columns that a filter reads."""
    return {leaf.column for leaf in leaves(tree)}


def leaves(tree: Filter) -> list[Compare | In | Missing]:
    """Comparisons of a filter, from left to right."""
    if isinstance(tree, And | Or):
        return [leaf for part in tree.parts for leaf in leaves(part)]
    return leaves(tree.part) if isinstance(tree, Not) else [tree]


def to_json(tree: Filter) -> dict[str, Any]:
    """JSON form of a filter; ``filter_json.from_json`` reads it."""
    if isinstance(tree, And | Or):
        return {"and" if isinstance(tree, And) else "or": [to_json(part) for part in tree.parts]}
    if isinstance(tree, Not):
        return {"not": to_json(tree.part)}
    if isinstance(tree, In):
        return {"in": [tree.column, list(tree.values)]}
    if isinstance(tree, Missing):
        return {"missing": tree.column}
    return {tree.op: [tree.column, tree.value]}
