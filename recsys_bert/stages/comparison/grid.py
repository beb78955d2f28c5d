"""The configurations of a grid: every combination of the values of some settings."""

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.parsing import parse_toml

_LONGEST = 120  # characters of a folder's name


@dataclass(frozen=True)
class Axis:
    """One setting and its values, in the order given."""

    name: str
    """Dotted, as in a recipe: ``encoder.fusion``."""

    values: tuple[Any, ...]
    """As TOML has them."""


@dataclass(frozen=True)
class Configuration:
    """One combination."""

    values: dict[str, Any]
    """Value of every axis."""

    name: str
    """The varied settings: ``fusion=last neck=none``."""

    @property
    def folder(self) -> str:
        """Name of its folder; it stays the same when the grid grows by values."""
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
    values = tuple(parse_values(rest))
    texts = [value_text(value) for value in values]
    if twice := [part for at, part in enumerate(parts) if texts[at] in texts[:at]]:
        raise InputError(f"grid {text!r} has {twice[0]} twice; name each value once.")
    return Axis(name, values)


def parse_grid(texts: Sequence[str]) -> list[Axis]:
    """Read all axes; a later one of the same setting replaces an earlier one, with a message."""
    axes: dict[str, Axis] = {}
    for text in texts:
        axis = parse_axis(text)
        if axis.name in axes:
            old, new = (",".join(map(value_text, one.values)) for one in (axes[axis.name], axis))
            print(f"grid: {axis.name}={new} replaces {old}", file=sys.stderr)
        axes[axis.name] = axis
    return list(axes.values())


def grid_axes(grid: Mapping[str, Any]) -> list[Axis]:
    """Axes of a dict: setting → list of values, or one value for all configurations.

    Raises:
        InputError: A list is empty, or has the same value twice.
    """
    axes = [
        Axis(name, tuple(values) if isinstance(values, list | tuple) else (values,)) for name, values in grid.items()
    ]
    for axis in axes:
        texts = [value_text(value) for value in axis.values]
        if not texts or len(set(texts)) < len(texts):
            raise InputError(f"grid {axis.name} is {list(axis.values)}; give at least one value, each once.")
    return axes


def configurations(axes: Sequence[Axis], skip: Sequence[str] = ()) -> list[Configuration]:
    """Combine the axes, the last one changing fastest.

    Args:
        axes: The settings; one with a single value holds in every configuration and is not in their names.
        skip: Configurations to leave out: ``encoder.neck=none encoder.residual=concat,none`` leaves out those with that
            neck and with either of these forms. ``train.averaging.method=ema`` is one key of an axis of tables.

    Raises:
        InputError: ``skip`` names what is not in the grid, or leaves nothing.
    """
    names = [axis.name for axis in axes]
    rules = [_rule(text, axes) for text in skip]
    last = [name.partition(".")[2] or name for name in names]
    short = {name: end if last.count(end) == 1 else name for name, end in zip(names, last, strict=True)}
    varied = [axis.name for axis in axes if len(axis.values) > 1]
    combined = []
    for combination in itertools.product(*(axis.values for axis in axes)):
        values = dict(zip(names, combination, strict=True))
        if not any(all(_lookup(values, term.name) in term.values for term in rule) for rule in rules):
            name = " ".join(f"{short[name]}={value_text(values[name])}" for name in varied)
            combined.append(Configuration(values, name or "the recipe"))
    if not combined:
        raise InputError(f"skip {list(skip)} leaves no configuration of the grid.")
    return combined


def value_text(value: Any) -> str:
    """Write a value as in a grid."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={value_text(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def parse_values(text: str) -> list[Any]:
    """Values between commas, as in a grid."""
    return [_value(part) for part in _split(text)]


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
        if wrong := [value_text(value) for value in term.values if value not in known[term.name]]:
            raise unknown_name(f"value of {term.name} in the grid", wrong[0], map(value_text, known[term.name]))
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
    """Parse as TOML, or take the text itself: ``3``, ``1e-3``, ``true``, ``{ width = 3 }``, ``last``."""
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return parsed["value"] if list(parsed) == ["value"] else text
