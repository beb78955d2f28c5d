"""Tables in text files without a known ending: told from histories by their regularity."""

import itertools
from collections.abc import Callable
from pathlib import Path

from recsys_bert.clicks.prepare.decoding import open_binary
from recsys_bert.errors import InputError

_SEPARATORS = ("::", "\t", ";", ",", "|")
_LINES = 2_000
_FEW = 20  # values of a column of ratings
_EARLIEST, _LATEST = 1e8, 4e18  # seconds from 1973 on, up to nanoseconds


def separator_in(text: str) -> str | None:
    """Separator of the cells of a line, if one occurs."""
    return next((one for one in _SEPARATORS if one in text), None)


def check_histories(path: Path, as_written: Callable[..., str]) -> None:
    """Refuse a table where lines of ``user item item …`` are expected.

    A table has the same number of cells in every line, users that recur, and a column of times or of few values. Pairs
    ``user item`` stay what they are.

    Args:
        path: The file.
        as_written: Turns settings into flags or keywords.

    Raises:
        InputError: It is a table; the message names the settings that read it.
    """
    with open_binary(path) as file:
        raw = list(itertools.islice(file, _LINES))
    text = [line.decode("utf-8", "replace").strip("\r\n\ufeff") for line in raw]
    text = [line for line in text if line.strip()]
    if len(text) < 2:
        return
    separator = _separator(text)
    rows = [line.split(None if separator == "whitespace" else separator) for line in text]
    names = _header(rows)
    body = rows[1:] if names else rows
    width = len(rows[0])
    if width < 2 or any(len(row) != width for row in rows):
        return
    columns = list(zip(*body, strict=True))
    times = [n for n in range(1, width) if all(map(_is_time, columns[n]))]
    recurs = len(set(columns[0])) < len(columns[0])
    ratings = width == 3 and recurs and len(body) >= 50 and _is_rating(columns[2], columns[1])
    by_blanks = separator in ("whitespace", "\t")  # as histories are
    if not (names and times) and not (recurs and (times or ratings) if by_blanks else recurs or times or names):
        return
    raise InputError(
        f"{path.name} looks like a table of {width} columns ({_shown(text[0])!r} …), not like 'user item item …'. Read "
        f"it with {as_written(**_settings(rows, names, separator, times))}, or pass {as_written(format='lines')} if "
        "each line is a history."
    )


def _separator(lines: list[str]) -> str:
    """Separator that occurs equally often in every line; else blanks."""
    for separator in _SEPARATORS:
        counts = {line.count(separator) for line in lines[:200]}
        if len(counts) == 1 and counts.pop() > 0:
            return separator
    return "whitespace"


def _header(rows: list[list[str]]) -> tuple[str, ...]:
    """Names in the first line, if it holds no number and the others do."""
    first, others = rows[0], rows[1:]
    number = any(map(_is_number, first))
    return () if number or not all(any(map(_is_number, row)) for row in others) else tuple(first)


def _settings(
    rows: list[list[str]], names: tuple[str, ...], separator: str, times: list[int]
) -> dict[str, str | tuple[str, ...]]:
    width = len(rows[0])
    settings: dict[str, str | tuple[str, ...]] = {"format": "csv", "separator": separator}
    if names:
        time = names[times[0]] if times else "None"
        return settings | {"user": names[0], "item": names[1], "time": time}
    columns = ["user_id", "item_id", *(f"column_{n}" for n in range(3, width + 1))]
    if width == 3 and not times:
        columns[2] = "rating"
    if width == 4 and times == [3]:
        columns[2] = "rating"
    if times:
        columns[times[0]] = "timestamp"
    if times == [1] and width > 2:
        columns[2] = "item_id"
    settings["columns"] = tuple(columns)
    return settings if times else settings | {"time": "None"}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    if _is_number(text):
        return _EARLIEST <= float(text) <= _LATEST
    return len(text) >= 10 and text[:4].isdigit() and text[4] in "-/" and text[7] in "-/"


def _is_rating(values: tuple[str, ...], items: tuple[str, ...]) -> bool:
    """Few values, all small numbers, beside many more items."""
    distinct = set(values)
    small = all(_is_number(value) and -10 <= float(value) <= 100 for value in distinct)
    return len(distinct) <= _FEW and small and len(set(items)) > len(distinct)


def _shown(line: str) -> str:
    return line if len(line) <= 60 else line[:57] + "…"
