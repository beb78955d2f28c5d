"""Training log: one JSON object per line."""

import json
from pathlib import Path

from recsys_bert.files import replacing


class MetricsFile:
    """JSON lines file; a resumed run first drops lines after its checkpoint, a partial one included.

    Args:
        path: The file.
        lines: Number of lines to keep.
        is_main: True in the process that writes; the others do nothing.
    """

    def __init__(self, path: Path, lines: int, is_main: bool) -> None:
        self.path, self.is_main, self.lines = path, is_main, lines
        if not is_main:
            return
        old = path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if path.exists() else []
        with replacing(path) as temporary:
            temporary.write_text("".join(old), encoding="utf-8")

    def write(self, values: dict[str, float]) -> None:
        """Append one line."""
        if not self.is_main:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        self.lines += 1
