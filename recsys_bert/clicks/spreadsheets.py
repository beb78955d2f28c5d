"""Rows of the sheets of an .xlsx file (ECMA-376), one at a time, with the standard library only."""

import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from recsys_bert.errors import InputError

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_FIRST_DAY = datetime(1899, 12, 30)  # day 0 of dates as numbers


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the cells of every row of every sheet as text, in the order of the sheets' files; missing cells are empty.

    Raises:
        InputError: It is no .xlsx file.
    """
    try:
        with zipfile.ZipFile(path) as book:
            names = book.namelist()
            texts = _shared_texts(book) if "xl/sharedStrings.xml" in names else []
            sheets = [name for name in names if name.startswith("xl/worksheets/sheet")]
            for name in sorted(sheets, key=lambda name: (len(name), name)):
                with book.open(name) as sheet:
                    yield from _rows(sheet, texts)
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as a spreadsheet (.xlsx): {error}.") from error


def date_of(days: str) -> str:
    """ISO text of a date that a sheet holds as days since the end of 1899; other text stays."""
    try:
        date = _FIRST_DAY + timedelta(days=float(days))
    except (ValueError, OverflowError):
        return days
    return (date + timedelta(microseconds=500_000)).replace(microsecond=0).isoformat(" ")


def _shared_texts(book: zipfile.ZipFile) -> list[str]:
    with book.open("xl/sharedStrings.xml") as file:
        return [_text(entry) for entry in _elements(file, "si")]


def _elements(file: IO[bytes], name: str) -> Iterator[ElementTree.Element]:
    """Yield elements of one name and forget them; a sheet of a million rows does not fit into memory as a tree."""
    container = None
    for kind, element in ElementTree.iterparse(file, events=("start", "end")):
        if kind == "start" and element.tag in (_SPACE + "sheetData", _SPACE + "sst"):
            container = element
        elif kind == "end" and element.tag == _SPACE + name and container is not None:
            yield element
            container.clear()


def _text(entry: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in entry.iter(_SPACE + "t"))


def _rows(sheet: IO[bytes], texts: list[str]) -> Iterator[list[str]]:
    for row in _elements(sheet, "row"):
        cells: list[str] = []
        for cell in row.iter(_SPACE + "c"):
            reference = cell.get("r", "")
            column = _column(reference) if reference else len(cells)
            cells += [""] * (column - len(cells))
            cells.append(_value(cell, texts))
        yield cells


def _column(reference: str) -> int:
    """Number of a column, from 0: that of ``C5`` is 2."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: ElementTree.Element, texts: list[str]) -> str:
    kind = cell.get("t")
    if kind == "inlineStr":
        return _text(cell)
    value = cell.findtext(_SPACE + "v", "")
    return texts[int(value)] if kind == "s" and value else value
