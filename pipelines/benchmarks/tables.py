"""How a benchmark leaves its figures: a table to read and the same numbers for programs."""

from pathlib import Path
from typing import Any

from recsys_bert.files import replacing, write_json


def write_tables(out: Path, table: str, result: dict[str, Any]) -> None:
    """Write ``table`` to ``out`` with the ending .md and ``result`` to .json, and print the table."""
    with replacing(out.with_suffix(".md")) as aside:
        aside.write_text(table, encoding="utf-8")
    write_json(out.with_suffix(".json"), result)
    print(table, end="")
