"""Filters as SQL conditions, every constant a parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recsys_bert.stores.columns import ID, ColumnType
from recsys_bert.stores.filters import And, Compare, Filter, In, Missing, Or, Value

_OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Dialect(Protocol):
    """Differences between databases."""

    mark: str
    """Placeholder of a parameter."""

    def column(self, name: str) -> str:
        """Quoted name of a column, or of the id."""

    def one_of(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        """Condition that a column is one of several constants."""

    def any_tag(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        """Condition that one tag of a column is one of several constants."""

    def constant(self, value: Value) -> Any:
        """Parameter for a constant."""


@dataclass(frozen=True)
class Condition:
    """SQL of a filter with its parameters."""

    sql: str
    parameters: list[Any]


def compile_sql(tree: Filter | None, columns: Mapping[str, ColumnType], dialect: Dialect) -> Condition:
    """Compile a checked filter; no filter is always true."""
    parameters: list[Any] = []
    return Condition("TRUE" if tree is None else _sql(tree, columns, dialect, parameters), parameters)


def _sql(tree: Filter, columns: Mapping[str, ColumnType], dialect: Dialect, parameters: list[Any]) -> str:
    if isinstance(tree, And | Or):
        joint = " AND " if isinstance(tree, And) else " OR "
        return "(" + joint.join(_sql(part, columns, dialect, parameters) for part in tree.parts) + ")"
    if isinstance(tree, Missing):
        return f"({dialect.column(tree.column)} IS NULL)"
    if isinstance(tree, Compare | In):
        return _leaf(tree, columns, dialect, parameters)
    return f"(NOT {_sql(tree.part, columns, dialect, parameters)})"


def _leaf(tree: Compare | In, columns: Mapping[str, ColumnType], dialect: Dialect, parameters: list[Any]) -> str:
    """A comparison that is false, not unknown, where the value is missing."""
    column = dialect.column(tree.column)
    if isinstance(tree, Compare):
        parameters.append(dialect.constant(str(tree.value) if tree.column == ID else tree.value))
        inner = f"{column} {_OPERATORS[tree.op]} {dialect.mark}"
    elif columns.get(tree.column) == "tags":
        inner = dialect.any_tag(column, tree.values, parameters)
    else:
        values = [str(value) for value in tree.values] if tree.column == ID else tree.values
        inner = dialect.one_of(column, values, parameters)
    return inner if tree.column == ID else f"({column} IS NOT NULL AND {inner})"
