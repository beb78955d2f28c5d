"""The log of a training: one JSON object a line."""

import json
from pathlib import Path

from recsys_bert.files import replacing


class MetricsFile:
    """Appends JSON lines; a resumed run first drops what came after its checkpoint, half a line included.

    Args:
        path: The file.
        lines: Lines that stay.
        is_main: Whether this process writes; the others do nothing.
    """

    def __init__(self, path: Path, lines: int, is_main: bool) -> None:
        self.path, self.is_main, self.lines = path, is_main, lines
        if not is_main:
            return
        kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if path.exists() else []
        with replacing(path) as aside:
            aside.write_text("".join(kept), encoding="utf-8")

    def write(self, values: dict[str, float]) -> None:
        """Append one line."""
        if not self.is_main:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        self.lines += 1
