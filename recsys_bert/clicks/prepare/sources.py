"""Sources of tables: files or a data frame, behind one protocol."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from recsys_bert.clicks.frames import Frame, to_frame
from recsys_bert.clicks.prepare.files import find_files, kind_of, scan, unreadable
from recsys_bert.clicks.prepare.formats.lines import line_of
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint

_SLICE = 1_000_000  # rows hashed at a time


class TableSource(Protocol):
    """A table of events, items or users that can be scanned more than once."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def is_lines(self) -> bool:
        """True for the format ``user item item …``, which has no times."""

    def scan(self) -> pl.LazyFrame:
        """Open the table lazily."""

    def locate(self, row: int) -> str:
        """Position of a row, for a message."""

    def listing(self) -> list[dict[str, Any]]:
        """Name and size of each part."""

    def fingerprint(self) -> str:
        """SHA-256 of the contents."""

    def json_object(self) -> dict[str, Any] | None:
        """The table as a mapping id → value(s), if it is one JSON object."""

    def setting(self, group: str, name: str, value: str | None) -> str:
        """A setting as the caller writes it: a flag or a keyword argument."""

    def unreadable(self, error: Exception) -> InputError:
        """The error for a table that breaks while it is read."""


def open_source(data: Frame | str | Path, name: str, format: str = "auto") -> TableSource:
    """Open a data frame, or the files that a path, folder or glob names.

    Args:
        data: See ``to_frame``; or a path.
        name: Names a frame in messages: ``events``, ``items`` or ``users``.
        format: Format of files; ``auto`` goes by their ending.

    Raises:
        InputError: Neither a table nor a path to one, or a frame with a format.
    """
    if isinstance(data, str | Path):
        return FileSource(find_files(str(data)), format)
    if format != "auto":
        raise InputError(f"log.format is {format!r}, but {name} are a data frame. Leave it out.")
    return FrameSource(to_frame(data, name), name)


class FileSource:
    """Files of one format, one below the other."""

    def __init__(self, files: list[Path], format: str = "auto") -> None:
        self.files, self.format = files, format

    @property
    def name(self) -> str:
        """The file, or the first of several."""
        first = self.files[0].name
        return first if len(self.files) == 1 else f"{first} (first of {len(self.files)} files)"

    @property
    def is_lines(self) -> bool:
        """See ``TableSource``."""
        return self.format == "lines" or (self.format == "auto" and kind_of(self.files[0]) == "lines")

    def scan(self) -> pl.LazyFrame:
        """See ``TableSource``."""
        return scan(self.files, self.format)

    def locate(self, row: int) -> str:
        """File and row (or line) in it of a row of all files together."""
        file = self.files[-1]
        for part in self.files[:-1]:
            height = scan([part], self.format).select(pl.len()).collect().item()
            if row < height:
                file = part
                break
            row -= height
        unit, number = ("line", line_of(file, row)) if self.is_lines else ("row", row)
        return f"{unit} {number + 1:,} of {file.name}"

    def listing(self) -> list[dict[str, Any]]:
        """See ``TableSource``."""
        return [{"name": file.name, "bytes": file.stat().st_size} for file in self.files]

    def fingerprint(self) -> str:
        """See ``TableSource``."""
        return fingerprint(self.files)

    def json_object(self) -> dict[str, Any] | None:
        """See ``TableSource``."""
        if self.files[0].suffix != ".json":
            return None
        try:
            value = json.loads(self.files[0].read_text(encoding="utf-8"))
        except (ValueError, OSError):
            return None  # JSON lines, or broken: the reader of tables says what is wrong
        return value if isinstance(value, dict) else None

    def setting(self, group: str, name: str, value: str | None) -> str:
        """See ``TableSource``."""
        return f"--{group}.{name} {value}".replace("_", "-")

    def unreadable(self, error: Exception) -> InputError:
        """See ``TableSource``."""
        return unreadable(self.files, error)


class FrameSource:
    """A data frame in memory."""

    is_lines = False

    def __init__(self, frame: pl.DataFrame, name: str) -> None:
        self.frame, self.name = frame, name

    def scan(self) -> pl.LazyFrame:
        """See ``TableSource``."""
        return self.frame.lazy()

    def locate(self, row: int) -> str:
        """See ``TableSource``."""
        return f"row {row + 1:,} of {self.name}"

    def listing(self) -> list[dict[str, Any]]:
        """See ``TableSource``."""
        return [{"name": self.name, "bytes": int(self.frame.estimated_size())}]

    def fingerprint(self) -> str:
        """See ``TableSource``."""
        digest = hashlib.sha256()
        for rows in self.frame.iter_slices(_SLICE):
            buffer = io.BytesIO()
            rows.rechunk().write_ipc(buffer)
            digest.update(buffer.getbuffer())
        return digest.hexdigest()

    def json_object(self) -> dict[str, Any] | None:
        """See ``TableSource``."""
        return None

    def setting(self, group: str, name: str, value: str | None) -> str:
        """See ``TableSource``."""
        return f"{group}={{{name!r}: {value!r}}}"

    def unreadable(self, error: Exception) -> InputError:
        """See ``TableSource``."""
        return InputError(f"{self.name} cannot be read: {str(error).strip() or type(error).__name__}")
