"""Texts and labels from UTF-8 files, one example a line; unusable lines are refused or counted."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.examples import HALF, Table, count_or_refuse, is_text, label_tuple, not_empty
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.progress import Progress

Row = tuple[int, "dict[str, Any] | None", str]
"""Line number, cells by column, and the reason why the line is unusable ("" where it is not; else cells are None)."""

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def read_table(
    path: Path,
    config: FilesConfig,
    texts: Sequence[str],
    label: str | None = None,
    separator: str | None = None,
    *,
    flags: str = "data",
) -> Table:
    """Read one file.

    Args:
        path: The file.
        config: How it is read.
        texts: Columns with the texts.
        label: Column with the label; None reads none.
        separator: Cuts a cell into several labels, of which there may be none; None: a cell is one label.
        flags: Group of the command's flags with these settings, for messages.

    Raises:
        InputError: It is missing, not UTF-8, lacks a column, or has lines that cannot be used (see ``bad_rows``).
    """
    path = Path(path)
    columns: dict[str, list[str]] = {name: [] for name in texts}
    table = Table(path, [], columns, None if label is None else [], flags=flags, bad_rows=config.bad_rows)
    bad: list[tuple[int, str]] = []
    with Progress(f"reading {path.name}", None, "lines") as progress:
        for line, cells, problem in _rows(path, config, [*texts, *([label] if label else [])], flags):
            progress.advance()
            if cells is not None:
                problem = _add(table, line, cells, label, separator)
            if problem:
                bad.append((line, problem))
    left_out = count_or_refuse(path, bad, config.bad_rows, flags)
    return not_empty(replace(table, left_out=dict(left_out)))


def _add(table: Table, line: int, cells: dict[str, Any], label: str | None, separator: str | None) -> str:
    """Add one line to ``table``, or return the reason why not."""
    values = {name: cells[name] for name in table.texts}
    if wrong := next((name for name, text in values.items() if not isinstance(text, str)), None):
        return f"{wrong} is no text"
    if empty := next((name for name, text in values.items() if not text.strip()), None):
        return f"{empty} is empty"
    if label is not None and table.labels is not None:
        labels = label_tuple(cells[label], separator)
        if labels is None or (separator is None and len(labels) != 1):
            return f"{label} is no label"
        table.labels.append(labels)
    table.lines.append(line)
    for name, text in values.items():
        table.texts[name].append(text.strip())
    return ""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers from 1, without their ends; a byte order mark is left out.

    Only a line feed ends a line: other separators of Unicode do occur within texts.

    Raises:
        InputError: The file cannot be read or is not UTF-8; the message names file, line and byte.
    """
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, number, raw, error) from error
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _not_utf8(path: Path, number: int, raw: bytes, error: UnicodeDecodeError) -> InputError:
    looks = "UTF-16" if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "GB18030 or another encoding"
    return InputError(
        f"line {number} of {path} is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1} of the "
        f"line. It looks like {looks}; convert the file, as with iconv -f {looks.split()[0]} -t UTF-8."
    )


def _rows(path: Path, config: FilesConfig, columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    kind = config.format if config.format != "auto" else _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} is not known ({', '.join(_FORMATS)} are). "
            f"Name the format with --{flags}.format."
        )
    if kind == "jsonl":
        return _json_rows(path, columns_read)
    if kind == "label_text":
        return _label_text_rows(path, columns_read)
    return _cell_rows(path, kind, config.columns, columns_read, flags)


def _cell_rows(path: Path, kind: str, columns: Sequence[str], columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    """Tab- or comma-separated lines; the first one names the columns where ``columns`` does not."""
    cells_of = _tsv_cells if kind == "tsv" else _csv_cells
    names = list(columns)
    for line, cells in cells_of(path):
        if not names:
            names = [name.strip() for name in cells]
            _check_columns(path, names, columns_read, flags)
            continue
        if line == 1:
            _check_columns(path, names, columns_read, flags)
        if len(cells) != len(names):
            if cells not in ([], [""]):  # an empty line, as at the end of a file, is no example
                yield line, None, f"{len(cells)} cells where there are {len(names)} columns"
            continue
        yield line, dict(zip(names, cells, strict=True)), ""


def _tsv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.split("\t")) for number, line in read_lines(path))


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(sys.maxsize)  # documents are longer than the 128 KiB that it takes by itself
    reader, line = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True), 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"the row of {path} that begins at line {line} is not CSV: {error}. Mend its quotes."
        ) from error


def _check_columns(path: Path, names: Sequence[str], columns_read: Sequence[str], flags: str) -> None:
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path} has two columns called {double[0]!r}; every column needs its own name.")
    for name in columns_read:
        if name not in names:
            columns = ", ".join(repr(column) for column in names[:20])
            raise InputError(
                f"{path} has no column {name!r}; it has {columns}. Say which one is meant, or, where the file has no "
                f"header line, name its columns in order with --{flags}.columns."
            )


def _json_rows(path: Path, columns_read: Sequence[str]) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells, problem = json_object(line)
        if problem:
            yield number, None, problem
        elif lacking := [name for name in columns_read if name not in cells]:
            yield number, None, f"no key {lacking[0]!r}"
        else:
            yield number, cells, ""


def json_object(line: str) -> tuple[dict[str, Any], str]:
    """Read one line of JSON lines.

    Returns:
        The object, and the reason why there is none ("" where there is one; else it is empty).
    """
    try:
        cells = json.loads(line)
    except ValueError:
        return {}, "not JSON"
    if not isinstance(cells, dict):
        return {}, "no JSON object"
    if "\\u" in line and not is_text(json.dumps(cells, ensure_ascii=False)):
        return {}, HALF
    return cells, ""


def _label_text_rows(path: Path, columns_read: Sequence[str]) -> Iterator[Row]:
    if unknown := set(columns_read) - {"text", "label"}:
        raise unknown_name("column of a label_text file", min(unknown), ("text", "label"))
    for number, line in read_lines(path):
        if line.strip():
            label, _, text = line.strip().partition(" ")
            yield number, {"label": label, "text": text}, ""
