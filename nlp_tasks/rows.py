"""Rows of files of examples: tsv, csv, JSON, Parquet, lines, ``label text``, and folders with one text a file."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.examples import HALF, flag, is_text
from nlp_tasks.lines import read_json_document, read_lines, suffix
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.parsing import parse_json

Row = tuple[int, "dict[str, Any] | None", str]
"""Number from 1, cells by column, and the reason why it is unusable ("" where it is not; else cells are None)."""

FORMATS = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Format by file ending, for ``auto``."""
_COLUMNS = {"lines": ("text",), "label_text": ("text", "label"), "folders": ("text", "label")}
"""Columns of formats that name none."""
UNITS = {"parquet": "row", "folders": "file"}
"""Word for the number of a row, where it is no line."""
_UNLABELLED = "unsup"  # folder of IMDb whose texts have no label


def format_of(path: Path, config: FilesConfig, flags: str) -> str:
    """Format of a file: as set, or by its ending; that of a folder is ``folders``.

    Raises:
        InputError: Nothing is set, and the ending is not known.
    """
    if config.format != "auto":
        return config.format
    if path.is_dir():
        return "folders"
    if (kind := FORMATS.get(suffix(path))) is None:
        _, first = next(read_lines(path, config.encoding, flags=flags), (1, ""))
        tabs = f"; its lines have tabs: {flag(flags, 'format')} tsv" if "\t" in first else ""
        raise InputError(
            f"{path}: the ending {path.suffix!r} is not known ({', '.join(FORMATS)} are). "
            f"Name the format with {flag(flags, 'format')}{tabs}."
        )
    return kind


def read_rows(path: Path, kind: str, config: FilesConfig, columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    """Rows of a file in a format, see ``format_of``.

    Raises:
        InputError: It cannot be read, or lacks one of ``columns_read``.
    """
    if kind in ("jsonl", "json"):
        return _json_rows(path, kind, config, columns_read, flags)
    if kind == "parquet":
        return _parquet_rows(path, columns_read, flags)
    if known := _COLUMNS.get(kind):
        if unknown := set(columns_read) - set(known):
            raise unknown_name(f"column of {kind}", min(unknown), known)
        if kind == "lines":
            return _line_rows(path, config, flags)
        return _label_text_rows(path, config, flags) if kind == "label_text" else _folder_rows(path, config, flags)
    return _cell_rows(path, kind, config, columns_read, flags)


def _cell_rows(path: Path, kind: str, config: FilesConfig, columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    """Tab- or comma-separated lines; the first one names the columns where the settings do not."""
    lines = read_lines(path, config.encoding, flags=flags)
    names = list(config.columns)
    for line, cells in ((n, text.split("\t")) for n, text in lines) if kind == "tsv" else csv_cells(path, lines):
        if not names:
            names = [name.strip() for name in cells]
            _check_columns(path, names, columns_read, flags)
            continue
        if line == 1:
            _check_columns(path, names, columns_read, flags)
        if cells in ([], [""]):  # an empty line, as at the end of a file, is no example
            continue
        if len(cells) != len(names):
            yield line, None, f"{len(cells)} cells where there are {len(names)} columns"
            continue
        yield line, dict(zip(names, cells, strict=True)), ""


def csv_cells(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Cells of comma-separated lines, with the number of the line in which each row begins.

    Raises:
        InputError: Quotes are not closed.
    """
    csv.field_size_limit(sys.maxsize)  # documents are longer than the 128 KiB that it takes by itself
    reader, line = csv.reader((line + "\n" for _, line in lines), strict=True), 1
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
            columns = ", ".join(repr(column[:40]) for column in names[:20])
            tabs = f" It has tabs: set {flag(flags, 'format')} tsv." if any("\t" in column for column in names) else ""
            raise InputError(
                f"{path} has no column {name!r}; it has {columns}.{tabs} Say which one is meant, or, where the file "
                f"has no header line, name its columns in order with {flag(flags, 'columns')}."
            )


def json_values(path: Path, encoding: str, *, flags: str | None = None) -> Iterator[tuple[int, Any, str]]:
    """Values of a ``.json`` file: of JSON lines, of one list, or of the list under ``data`` of one object.

    Returns:
        Number from 1, value, and the reason why there is none ("" where there is one).

    Raises:
        InputError: It is JSON of another form.
    """
    lines = read_lines(path, encoding, flags=flags)
    nonempty = (line.strip() for _, line in lines if line.strip())
    first, second = next(nonempty, ""), next(nonempty, "")
    row, problem = json_object(first) if first.startswith("{") else ({}, "no JSON object")
    if not problem and (second or not isinstance(row.get("data"), list)):
        yield from json_lines(path, encoding, flags=flags)
        return
    document = read_json_document(path, encoding, flags=flags) if first else []
    values = document.get("data") if isinstance(document, dict) else document
    if not isinstance(values, list):
        raise InputError(f"{path} is neither JSON lines nor a list of objects, nor an object with a list 'data'.")
    for number, value in enumerate(values, 1):
        yield number, value, "" if isinstance(value, dict) else "no JSON object"


def json_lines(path: Path, encoding: str, *, flags: str | None = None) -> Iterator[tuple[int, Any, str]]:
    """Objects of JSON lines; see ``json_values``."""
    for number, line in read_lines(path, encoding, flags=flags):
        if line.strip():
            yield number, *json_object(line)


def _json_rows(path: Path, kind: str, config: FilesConfig, columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    values = json_lines if kind == "jsonl" else json_values
    for number, cells, problem in values(path, config.encoding, flags=flags):
        if problem:
            yield number, None, problem
        elif lacking := [name for name in columns_read if name not in cells]:
            yield number, None, f"no key {lacking[0]!r} among {', '.join(map(repr, islice(cells, 8))) or 'none'}"
        else:
            yield number, cells, ""


def json_object(line: str) -> tuple[dict[str, Any], str]:
    """Read one line of JSON lines.

    Returns:
        The object, and the reason why there is none ("" where there is one; else it is empty).
    """
    try:
        cells = parse_json(line)
    except ValueError:
        return {}, "not JSON"
    if not isinstance(cells, dict):
        return {}, "no JSON object"
    if "\\u" in line and not is_text(json.dumps(cells, ensure_ascii=False)):
        return {}, HALF
    return cells, ""


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file, numbered from 1.

    Raises:
        InputError: It is no Parquet file, or damaged.
    """
    import polars as pl

    try:
        frame = pl.read_parquet(path, glob=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} cannot be read: no such file.") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}. It may be damaged.") from error
    return enumerate(frame.iter_rows(named=True), 1)


def _parquet_rows(path: Path, columns_read: Sequence[str], flags: str) -> Iterator[Row]:
    for number, cells in parquet_rows(path):
        if number == 1:
            _check_columns(path, list(cells), columns_read, flags)
        yield number, cells, ""


def _label_text_rows(path: Path, config: FilesConfig, flags: str) -> Iterator[Row]:
    for number, line in read_lines(path, config.encoding, flags=flags):
        if line.strip():
            label, _, text = line.strip().partition(" ")
            yield number, {"label": label, "text": text}, ""


def _line_rows(path: Path, config: FilesConfig, flags: str) -> Iterator[Row]:
    for number, line in read_lines(path, config.encoding, flags=flags):
        if line.strip():
            yield number, {"text": line.strip()}, ""


def _folder_rows(path: Path, config: FilesConfig, flags: str) -> Iterator[Row]:
    """Texts of the files in folders that are called after their labels, as in IMDb's ``train/pos/0_9.txt``."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []
    if not folders:
        raise InputError(f"{path} is no folder of folders that are called after labels, with one text a file.")
    files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    for number, file in enumerate(files, 1):
        if file.parent.name == _UNLABELLED:
            yield number, None, f"without a label (folder {_UNLABELLED})"
            continue
        text = "\n".join(line for _, line in read_lines(file, config.encoding, flags=flags))
        yield number, {"label": file.parent.name, "text": text}, ""
