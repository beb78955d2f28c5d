"""Results of a benchmark as a Markdown table and as JSON."""

from pathlib import Path
from typing import Any

from recsys_bert.files import replacing, write_json


def write_tables(out: Path, table: str, result: dict[str, Any], *, show: bool = True) -> None:
    """Write ``table`` to ``out`` with the ending .md and ``result`` to .json.

    Args:
        out: Path without ending; a dot in its name is kept ("v0.1").
        table: Markdown.
        result: JSON values.
        show: Print the table as well.
    """
    with replacing(out.with_name(f"{out.name}.md")) as temporary:
        temporary.write_text(table, encoding="utf-8")
    write_json(out.with_name(f"{out.name}.json"), result)
    if show:
        print(table, end="")
