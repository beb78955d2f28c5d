"""Training log: one JSON object per line, with a checksum once the training is done."""

import json
from pathlib import Path
from typing import Any

from recsys_bert.checksums import NAME, check_file, write_checksums
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.parsing import parse_json


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
        (path.parent / NAME).unlink(missing_ok=True)  # of the lines of a training that was done
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

    def seal(self) -> None:
        """Write the checksum of all lines beside the file."""
        if self.is_main:
            write_checksums(self.path.parent, self.path.name)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a training log.

    Raises:
        InputError: There is no such file, it was changed since the training was done, or a line is no JSON object.
    """
    check_file(path, remedy := "train the run again")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path} cannot be read: {reason}. Restore it from a copy, or {remedy}.") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(parse_json(line))
        except ValueError as error:
            raise InputError(f"line {number} of {path} is not JSON; the file is damaged. T{remedy[1:]}.") from error
    if bad := next((n for n, line in enumerate(lines, 1) if not isinstance(line, dict)), None):
        raise InputError(f"line {bad} of {path} is no JSON object; the file is damaged. T{remedy[1:]}.")
    return lines
