"""The cells of a grid: every combination of the values that some settings are to take."""

import hashlib
import itertools
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recsys_bert.errors import InputError, unknown_name

_LONGEST = 120  # characters of a folder's name


@dataclass(frozen=True)
class Axis:
    """One setting and its values, in the order given."""

    name: str
    """Dotted, as in a recipe: ``encoder.fusion``."""

    values: tuple[Any, ...]
    """As TOML has them."""


@dataclass(frozen=True)
class Cell:
    """One combination."""

    values: dict[str, Any]
    """Value of every axis."""

    name: str
    """What tells it from the other cells: ``fusion=last neck=none``."""

    @property
    def folder(self) -> str:
        """Its name as one for a folder; it stays the same when the grid grows by values."""
        plain = re.sub(r"[^\w.=+-]+", ",", self.name)
        if plain == self.name.replace(" ", ",") and len(plain) <= _LONGEST:
            return plain
        return f"{plain[: _LONGEST - 9]}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


def parse_axis(text: str) -> Axis:
    """Read ``name=value,value``.

    A value is what a recipe would have after the equals sign; text needs no quotes. Commas in quotes or brackets do not
    separate values.

    Raises:
        InputError: There is no name, no value, or the same value twice.
    """
    name, equals, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    parts = _split(rest)
    if not name or not equals or "" in parts:
        raise InputError(f"grid {text!r} is no setting with values; write it as encoder.fusion=last,scalar_mix.")
    values = tuple(_value(part) for part in parts)
    texts = [said(value) for value in values]
    if twice := [part for at, part in enumerate(parts) if texts[at] in texts[:at]]:
        raise InputError(f"grid {text!r} has {twice[0]} twice; name each value once.")
    return Axis(name, values)


def parse_grid(texts: Sequence[str]) -> list[Axis]:
    """Read all axes; one of the same setting as an earlier one replaces it, as flags win over a recipe, and says so."""
    axes: dict[str, Axis] = {}
    for text in texts:
        axis = parse_axis(text)
        if axis.name in axes:
            old, new = (",".join(map(said, one.values)) for one in (axes[axis.name], axis))
            print(f"grid: {axis.name}={new} replaces {old}", file=sys.stderr)
        axes[axis.name] = axis
    return list(axes.values())


def cells(axes: Sequence[Axis], skip: Sequence[str] = ()) -> list[Cell]:
    """Combine the axes, the last one changing fastest.

    Args:
        axes: The settings; one with a single value holds in every cell and is not in their names.
        skip: Cells to leave out: ``encoder.neck=none encoder.residual=concat,none`` leaves out those with that neck and
            with either of these forms. ``train.averaging.method=ema`` is one key of an axis of tables.

    Raises:
        InputError: ``skip`` names what is not in the grid, or leaves nothing.
    """
    names = [axis.name for axis in axes]
    rules = [_rule(text, axes) for text in skip]
    last = [name.partition(".")[2] or name for name in names]
    short = {name: end if last.count(end) == 1 else name for name, end in zip(names, last, strict=True)}
    shown = [axis.name for axis in axes if len(axis.values) > 1]
    found = []
    for combination in itertools.product(*(axis.values for axis in axes)):
        values = dict(zip(names, combination, strict=True))
        if not any(all(_lookup(values, term.name) in term.values for term in rule) for rule in rules):
            name = " ".join(f"{short[name]}={said(values[name])}" for name in shown)
            found.append(Cell(values, name or "the recipe"))
    if not found:
        raise InputError(f"skip {list(skip)} leaves no cell of the grid.")
    return found


def said(value: Any) -> str:
    """A value as one writes it in a grid."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={said(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _lookup(values: dict[str, Any], name: str) -> Any:
    """Value of a setting, or of one key of a table: ``train.averaging.method`` where ``train.averaging`` is an axis."""
    table, _, key = name.rpartition(".")
    return values[table].get(key) if name not in values and isinstance(values.get(table), dict) else values.get(name)


def _rule(text: str, axes: Sequence[Axis]) -> list[Axis]:
    terms, known = [parse_axis(term) for term in text.split()], {axis.name: axis.values for axis in axes}
    for axis in axes:
        tables = [value for value in axis.values if isinstance(value, dict)]
        known |= {f"{axis.name}.{key}": tuple(table.get(key) for table in tables) for table in tables for key in table}
    if not terms:
        raise InputError("skip is empty; write it as 'encoder.neck=none encoder.residual=concat'.")
    for term in terms:
        if term.name not in known:
            raise unknown_name("setting of the grid", term.name, known)
        if wrong := [said(value) for value in term.values if value not in known[term.name]]:
            raise unknown_name(f"value of {term.name} in the grid", wrong[0], map(said, known[term.name]))
    return terms


def _split(text: str) -> list[str]:
    """Cut at commas that are neither in quotes nor in brackets."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _value(text: str) -> Any:
    """What TOML makes of it, or the text itself: ``3``, ``1e-3``, ``true``, ``{ width = 3 }``, ``last``."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if list(found) == ["value"] else text
