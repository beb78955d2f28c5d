"""Texts and labels from files, one example a row; unusable rows are refused or counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.examples import Table, count_or_refuse, is_indicator, label_tuple, not_empty
from nlp_tasks.rows import UNITS, format_of, read_rows
from recsys_bert.parsing import parse_json
from recsys_bert.progress import Progress

NO_FAULT = ("without a label",)
"""Beginnings of reasons for leaving a row out that no setting forbids."""


def read_table(
    path: Path,
    config: FilesConfig,
    texts: Sequence[str],
    label: str | None = None,
    separator: str | None = None,
    *,
    flags: str = "data",
) -> Table:
    """Read one file, or a folder of texts.

    Args:
        path: The file.
        config: How it is read.
        texts: Columns with the texts.
        label: Column with the label; None reads none.
        separator: Cuts a cell into several labels, of which there may be none; None: a cell is one label.
        flags: Group of the command's flags with these settings, for messages.

    Raises:
        InputError: It is missing, has another encoding, lacks a column, or has rows that cannot be used (see
            ``bad_rows``).
    """
    path = Path(path)
    kind = format_of(path, config, flags)
    unit = UNITS.get(kind, "line")
    columns: dict[str, list[str]] = {name: [] for name in texts}
    table = Table(path, [], columns, None if label is None else [], flags=flags, bad_rows=config.bad_rows, unit=unit)
    bad: list[tuple[int, str]] = []
    with Progress(f"reading {path.name}", None, f"{unit}s") as progress:
        for line, cells, problem in read_rows(path, kind, config, [*texts, *([label] if label else [])], flags):
            progress.advance()
            if cells is not None:
                problem = _add(table, line, cells, label, separator)
            if problem:
                bad.append((line, problem))
    faults = [one for one in bad if not one[1].startswith(NO_FAULT)]
    left_out = count_or_refuse(path, faults, config.bad_rows, flags, unit)
    left_out += Counter(reason for _, reason in bad if reason.startswith(NO_FAULT))
    return not_empty(replace(table, left_out=dict(left_out)))


def _add(table: Table, line: int, cells: dict[str, Any], label: str | None, separator: str | None) -> str:
    """Add one line to ``table``, or return the reason why not."""
    values = {name: cells[name] for name in table.texts}
    if wrong := next((name for name, text in values.items() if not isinstance(text, str)), None):
        return f"{wrong} is no text"
    if empty := next((name for name, text in values.items() if not text.strip()), None):
        return f"{empty} is empty"
    if label is not None and table.labels is not None:
        labels, problem = _labels(cells[label], separator)
        if problem:
            return f"{label} {problem}"
        if labels is None or (separator is None and len(labels) != 1):
            return f"{label} is no label"
        table.labels.append(labels)
    table.lines.append(line)
    for name, text in values.items():
        table.texts[name].append(text.strip())
    return ""


def _labels(cell: Any, separator: str | None) -> tuple[tuple[str, ...] | None, str]:
    """Labels of a cell, and what is wrong with it; a cell of several labels may hold a JSON list of them."""
    if separator is not None and isinstance(cell, str) and cell.strip().startswith("["):
        try:
            cell = parse_json(cell)
        except ValueError:
            return None, f"begins as a JSON list, but is none: {cell[:40]!r}"
    if separator is not None and is_indicator(cell):
        return None, f"is a list of 0 and 1, one a class: {cell[:10]}; list the labels that hold"
    return label_tuple(cell, separator), ""
