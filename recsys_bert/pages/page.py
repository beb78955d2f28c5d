"""Assemble a page from its template, the shared style and its data."""

import base64
import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from recsys_bert.files import replacing
from recsys_bert.terminal import printable

_FILES = {
    "map": (("style.css",), ("point_map.js", "map.js")),
    "attention": (("style.css", "attention.css"), ("attention_view.js", "attention.js")),
}
"""Styles and scripts of each template; the service's page loads those of both but ``map.js`` and ``attention.js``."""

_MARK = re.compile(r"\{\{(?:title|style|script|data)\}\}")


def render(template: str, title: str, data: dict[str, Any]) -> str:
    """Fill a template of this folder.

    Texts of users are made ``printable``: no character turns the text around it. Data reach the page as JSON in a
    script element that is not executed, without a character that could end it; the pages put them into the document
    as text, never as HTML.

    Args:
        template: ``map`` or ``attention``.
        title: Title of the page.
        data: What its script reads.
    """
    folder = files("recsys_bert.pages")
    names = _FILES[template]
    styles, scripts = ("".join(folder.joinpath(name).read_text(encoding="utf-8") for name in part) for part in names)
    values = {
        "{{title}}": html.escape(printable(title, one_line=True)),
        "{{style}}": styles,
        "{{script}}": scripts,
        "{{data}}": _json(_printable(data)),
    }
    page = folder.joinpath(f"{template}.html").read_text(encoding="utf-8")
    return _MARK.sub(lambda match: values[match[0]], page)  # in one pass: a mark within the data stays text


def write_page(target: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def packed(values: Any, dtype: str) -> str:
    """Numbers as base64 of little-endian bytes, which a typed array reads.

    Args:
        values: Numbers of any shape.
        dtype: ``float32``, ``int32``, ``uint8`` …
    """
    array = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()


def _json(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _printable(value: Any) -> Any:
    """Escape control characters in every text of a value."""
    if isinstance(value, str):
        return printable(value, one_line=True)
    if isinstance(value, dict):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list | tuple) else value
