"""Text of users on a terminal: control characters are written as escapes, which no terminal obeys."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

_CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: f"\\u{code:04x}" for code in (*_CONTROLS, *range(0xD800, 0xE000))}
_LAYOUT = {code: escape for code, escape in _ESCAPES.items() if chr(code) not in "\n\t"}


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Escape characters that could move the cursor, change colours or the order of text, as ``\u001b``.

    Those are the control characters of both sets, Unicode's line separators and marks of direction that turn a text
    around, and halves of characters (bytes of file names that are no UTF-8). In JSON the escapes mean the same.

    Args:
        text: A text of a user, or a line with some.
        one_line: Escape line breaks and tabs as well, as for a cell of a table.
    """
    return text.translate(_ESCAPES if one_line else _LAYOUT)


class PrintableStream:
    """Stream whose texts are ``printable``; ``rich``, which writes escape sequences of its own, goes past it."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write a text; see ``printable``."""
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts; see ``printable``."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Let nothing that is printed in the block control the terminal."""
    out, err = PrintableStream(sys.stdout), PrintableStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
