"""JSON and TOML of strangers: nesting that no program of ours writes is an error like any other."""

import json
import tomllib
from typing import Any

MAX_DEPTH = 100
"""Deepest nesting of lists and objects."""

_TOO_DEEP = f"lists and objects are nested more than {MAX_DEPTH} deep"


def parse_json(text: str) -> Any:
    """Parse one JSON value.

    Raises:
        ValueError: It is not JSON, or is nested more than ``MAX_DEPTH`` deep.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        ValueError: It is not TOML, or is nested more than ``MAX_DEPTH`` deep.
    """
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)  # dotted keys nest without a bracket
    return value


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
    if level:
        raise ValueError(_TOO_DEEP)
