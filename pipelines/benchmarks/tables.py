"""How a benchmark leaves its figures: a table to read and the same numbers for programs."""

from pathlib import Path
from typing import Any

from recsys_bert.files import replacing, write_json


def write_tables(out: Path, table: str, result: dict[str, Any], *, show: bool = True) -> None:
    """Write ``table`` to ``out`` with the ending .md and ``result`` to .json.

    Args:
        out: Where; what its name has behind a dot is no ending, and stays ("v0.1").
        table: To read.
        result: For programs.
        show: Print the table as well.
    """
    with replacing(out.with_name(f"{out.name}.md")) as aside:
        aside.write_text(table, encoding="utf-8")
    write_json(out.with_name(f"{out.name}.json"), result)
    if show:
        print(table, end="")
