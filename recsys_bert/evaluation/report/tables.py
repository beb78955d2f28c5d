"""Tables of formatted cells, for the page and for the terminal alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Results = dict[str, Any]
"""Contents of ``report.json`` or ``compare.json``."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the small text below it, and the number that it is compared by."""

    text: str
    under: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A heading, the small text below it, which end is better (that cell is marked), words or numbers."""

    name: str
    under: str = ""
    better: Literal["higher", "lower", ""] = ""
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row: its name, its kind (``run``, ``baseline``, ``best_possible`` or another) and its cells."""

    name: str
    kind: str
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """A table with a title and one sentence of description."""

    title: str
    description: str
    columns: list[Column]
    rows: list[Row] = field(default_factory=list)
    first: str = "model"

    def best(self) -> set[tuple[int, int]]:
        """Cells ``(row, column)`` that hold the best value of their column; the best possible one takes no part."""
        best = set()
        for at, column in enumerate(self.columns):
            values = [
                (row.cells[at].value, number)
                for number, row in enumerate(self.rows)
                if row.kind != "best_possible" and row.cells[at].value is not None
            ]
            if column.better and len(values) > 1:
                pick = max if column.better == "higher" else min
                top = pick(value for value, _ in values)  # type: ignore[type-var]
                best |= {(number, at) for value, number in values if value == top}
        return best


def number(value: float | None, digits: int = 4, unit: str = "") -> Cell:
    """A number with a fixed number of decimals, or a dash."""
    return Cell("–") if value is None else Cell(f"{value:,.{digits}f}{unit}", value=value)


def interval(entry: dict[str, Any] | None) -> Cell:
    """A mean with its interval below it."""
    if not entry or entry["value"] is None:
        return Cell("–")
    has_ends = entry.get("low") is not None
    under = f"{entry['low']:.4f}–{entry['high']:.4f}" if has_ends else ""
    return Cell(f"{entry['value']:.4f}", under, entry["value"])


def percent(value: float | None) -> Cell:
    """A share in per cent, or a dash."""
    return Cell("–") if value is None else Cell(f"{100 * value:.1f} %", value=value)


def p_value(value: float) -> str:
    """Format a p-value."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def with_rows(tables: Sequence[Table | None]) -> list[Table]:
    """Tables that have rows."""
    return [table for table in tables if table is not None and table.rows]


def corrected_by(results: Results, family: str) -> str:
    """Heading of corrected p-values: the correction and the comparisons that it is for."""
    name = {"holm": "Holm", "bonferroni": "Bonferroni", "none": "no correction"}[results.get("correction", "holm")]
    return f"{name}, {family}"
