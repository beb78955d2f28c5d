"""Sources of tables: files or a data frame, behind one protocol."""

import hashlib
import io
import shlex
import shutil
import tempfile
import uuid
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from recsys_bert.clicks.frames import Frame, to_frame
from recsys_bert.clicks.prepare.files import find_files, format_of, scan_file, unreadable
from recsys_bert.clicks.prepare.formats.table_text import check_histories, separator_in
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint
from recsys_bert.parsing import parse_json

_SLICE = 1_000_000  # rows hashed at a time


@dataclass(frozen=True)
class Part:
    """One file, or a frame.

    Args:
        name: Name in messages.
        table: Its columns, maybe with ``RAGGED`` and ``LINE``.
    """

    name: str
    table: pl.LazyFrame

    def columns(self) -> list[str]:
        """Names of the columns."""
        return [name for name in self.table.collect_schema().names() if name not in (RAGGED, LINE)]

    def marks(self) -> list[str]:
        """``RAGGED`` where some row has too few or too many cells."""
        return [RAGGED] if RAGGED in self.table.collect_schema() else []

    def numbered(self) -> pl.LazyFrame:
        """The table with the number of each row in the file as ``LINE``, from 0."""
        return self.table if LINE in self.table.collect_schema() else self.table.with_row_index(LINE)

    def locate(self, number: int) -> str:
        """Position of a row for a message, by its ``LINE``."""
        unit = "line" if LINE in self.table.collect_schema() else "row"
        return f"{unit} {number + 1:,} of {self.name}"


class TableSource(Protocol):
    """A table of events, items or users that can be scanned more than once."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def is_lines(self) -> bool:
        """True for the format ``user item item …``, which has no times."""

    def parts(self) -> list[Part]:
        """Open the files lazily, in order."""

    def listing(self) -> list[dict[str, Any]]:
        """Name and size of each part."""

    def fingerprint(self) -> str:
        """SHA-256 of the contents."""

    def json_object(self) -> dict[str, Any] | None:
        """The table as a mapping id → value(s), if it is one JSON object."""

    def setting(self, group: str, name: str, value: Any) -> str:
        """A setting as the caller writes it: a flag or a keyword argument."""

    def separator_hint(self, columns: list[str]) -> str:
        """Advice where a header was read as one column."""

    def unreadable(self, error: Exception) -> InputError:
        """The error for a table that breaks while it is read."""


def open_source(
    data: Frame | str | Path,
    name: str,
    config: TableConfig | None = None,
    group: str = "log",
    work: Path | None = None,
) -> TableSource:
    """Open a data frame, or the files that a path, folder or glob names.

    Args:
        data: See ``to_frame``; or a path.
        name: Names a frame in messages: ``events``, ``items`` or ``users``.
        config: How files are read.
        group: Group of these settings in messages.
        work: Folder for decoded copies; None: a temporary one.

    Raises:
        InputError: Neither a table nor a path to one, or a frame with settings of files.
    """
    config = config or TableConfig()
    if isinstance(data, str | Path):
        return FileSource(find_files(str(data)), config, group, work)
    settings = ("format", "separator", "columns", "encoding", "quote")
    for setting in settings if group == "log" else (*settings, "bad_rows"):  # a log has more kinds of bad rows
        if (value := getattr(config, setting)) != TableConfig.__dataclass_fields__[setting].default:
            raise InputError(f"{group}.{setting} is {value!r}, but {name} are a data frame. Leave it out.")
    return FrameSource(to_frame(data, name), name)


class FileSource:
    """Files, one below the other."""

    def __init__(self, files: list[Path], config: TableConfig, group: str = "log", work: Path | None = None) -> None:
        self.files, self.config, self.group = files, config, group
        self._work = (work or Path(tempfile.gettempdir()) / f"recsys-bert-{uuid.uuid4().hex}") / group  # made if needed
        if work is None:
            weakref.finalize(self, shutil.rmtree, self._work.parent, ignore_errors=True)
        self._parts: list[Part] | None = None

    @property
    def name(self) -> str:
        """The file, or the first of several."""
        first = self.files[0].name
        return first if len(self.files) == 1 else f"{first} (first of {len(self.files)} files)"

    @property
    def is_lines(self) -> bool:
        """See ``TableSource``."""
        return self._kind(self.files[0]) == "lines"

    def parts(self) -> list[Part]:
        """See ``TableSource``."""
        if self._parts is None:
            if not any(file.stat().st_size for file in self.files):
                raise InputError(f"{self.name} holds nothing: the log is empty.")
            self._parts = [Part(file.name, self._scan(n, file)) for n, file in enumerate(self.files)]
        return self._parts

    def _kind(self, file: Path) -> str:
        return format_of(file, self.config, f"--{self.group}.format".replace("_", "-"))

    def _scan(self, number: int, file: Path) -> pl.LazyFrame:
        kind = self._kind(file)
        if kind == "lines" and self.config.format == "auto":
            check_histories(file, lambda **settings: self._settings(settings))
        encoding = f"--{self.group}.encoding".replace("_", "-")
        return scan_file(file, kind, self.config, self._work / str(number), encoding)

    def _settings(self, settings: dict[str, Any]) -> str:
        if self.group == "files":  # impressions name their columns elsewhere
            settings = {name: value for name, value in settings.items() if name not in ("user", "item", "time")}
        return " ".join(self.setting(self.group, name, value) for name, value in settings.items())

    def separator_hint(self, columns: list[str]) -> str:
        """Advice where a header was read as one column."""
        separator = separator_in(columns[0]) if len(columns) == 1 else None
        if separator is None:
            return ""
        return f" Its cells look separated by {separator!r}: pass {self.setting(self.group, 'separator', separator)}."

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
            value = parse_json(self.files[0].read_text(encoding="utf-8-sig"))
        except (ValueError, OSError):
            return None  # JSON lines, or broken: the reader of tables says what is wrong
        return value if isinstance(value, dict) else None

    def setting(self, group: str, name: str, value: Any) -> str:
        """See ``TableSource``."""
        flag = f"--{group}.{name}".replace("_", "-")
        values = value if isinstance(value, tuple) else (value,)
        return " ".join([flag, *map(_quoted, map(str, values))])

    def unreadable(self, error: Exception) -> InputError:
        """See ``TableSource``."""
        return unreadable(self.files, error, f"--{self.group}.encoding".replace("_", "-"))


def _quoted(value: str) -> str:
    return {"\t": "tab"}.get(value) or shlex.quote(value)


class FrameSource:
    """A data frame in memory."""

    is_lines = False

    def __init__(self, frame: pl.DataFrame, name: str) -> None:
        self.frame, self.name = frame, name

    def parts(self) -> list[Part]:
        """See ``TableSource``."""
        return [Part(self.name, self.frame.lazy())]

    def separator_hint(self, columns: list[str]) -> str:
        """See ``TableSource``."""
        return ""

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

    def setting(self, group: str, name: str, value: Any) -> str:
        """See ``TableSource``."""
        return f"{group}={{{name!r}: {value!r}}}"

    def unreadable(self, error: Exception) -> InputError:
        """See ``TableSource``."""
        return InputError(f"{self.name} cannot be read: {str(error).strip() or type(error).__name__}")


def whole_table(parts: list[Part]) -> pl.LazyFrame:
    """Parts one below the other; a column that some lack is null there, and types are widened."""
    return pl.concat([part.table for part in parts], how="diagonal_relaxed") if len(parts) > 1 else parts[0].table


def ragged_rows(source: TableSource, parts: list[Part], n_rows: int, group: str) -> InputError:
    """The error for rows of too few or too many cells."""
    place, width = "a row", 0
    for part in parts:
        if RAGGED in part.table.collect_schema():
            first = part.numbered().filter(pl.col(RAGGED)).select(LINE).head(1).collect()
            if len(first):
                place, width = part.locate(first.item()), len(part.columns())
                break
    return InputError(
        f"{place} has too few or too many cells for its {width} columns; {n_rows:,} such rows in all. Fix them, name "
        f"{group}.columns and {group}.separator rightly, or pass {source.setting(group, 'bad_rows', 'drop')}."
    )


def read_table(path: Path | str, config: TableConfig | None = None) -> pl.DataFrame:
    """Read a table of a file, folder or glob into memory.

    Raises:
        InputError: It cannot be read, or a row has too few or too many cells.
    """
    source = open_source(path, "table", config)
    try:
        parts = source.parts()
        table = whole_table(parts).collect()
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise source.unreadable(error) from error
    if RAGGED in table.columns and (n_ragged := int(table[RAGGED].sum() or 0)):
        raise ragged_rows(source, parts, n_ragged, "log")
    return table.drop(RAGGED, LINE, strict=False)
