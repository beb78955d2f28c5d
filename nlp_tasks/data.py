"""Texts and labels from files: UTF-8, one example a line, every line that cannot be used named or counted."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from nlp_tasks.config import FilesConfig
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.progress import Progress

Row = tuple[int, "dict[str, Any] | None", str]
"""Line number, its cells by column, and what is wrong with the line ("" where nothing is; cells are then None)."""

Rows = TypeVar("Rows", bound="Examples")
Read = TypeVar("Read", bound="Counted")

HALF = r"half of a character (a lone surrogate, such as \ud83d)"
"""What is wrong with a text that ``is_text`` says no to."""

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Counted(Protocol):
    """What was read of one file."""

    @property
    def path(self) -> Path:
        """Where it comes from."""

    @property
    def left_out(self) -> dict[str, int]:
        """What could not be used, by reason."""

    def __len__(self) -> int: ...


class Examples(Counted, Protocol):
    """Examples of one file, as far as cutting them in two goes."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # of any dataclass, so that ``replace`` takes them

    def take(self: Rows, rows: Sequence[int]) -> Rows:
        """Some of the examples."""


@dataclass(frozen=True)
class Table:
    """Examples in the order of their file."""

    path: Path
    """Where they come from."""

    lines: list[int]
    """Line of each example, from 1."""

    texts: dict[str, list[str]]
    """Texts by column, without blanks around them; none is empty."""

    labels: list[tuple[str, ...]] | None = None
    """Labels of each example, exactly one where the task is not multi-label; None where no label was asked for."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Lines that could not be used, by reason."""

    flags: str = "data"
    """Settings by which the file is read, as a command calls them: for messages."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "Table":
        """Some of the examples."""
        texts = {name: [column[row] for row in rows] for name, column in self.texts.items()}
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, lines=[self.lines[row] for row in rows], texts=texts, labels=labels)

    def without(self, reasons: Sequence[str], policy: str) -> "Table":
        """Leave out the examples with a reason.

        Args:
            reasons: ``[n]``, "" for an example that stays.
            policy: ``raise`` or ``drop``.

        Raises:
            InputError: There is one, and the policy is ``raise``; or nothing stays.
        """
        bad = [(line, reason) for line, reason in zip(self.lines, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_or_refuse(self.path, bad, policy, self.flags)
        kept = self.take([row for row, reason in enumerate(reasons) if not reason])
        return not_empty(replace(kept, left_out=dict(left_out)))


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
        flags: What the command calls these settings, for messages that name one.

    Raises:
        InputError: It is missing, not UTF-8, lacks a column, or has lines that cannot be used (see ``bad_rows``).
    """
    path = Path(path)
    found = Table(path, [], {name: [] for name in texts}, None if label is None else [], flags=flags)
    bad: list[tuple[int, str]] = []
    with Progress(f"reading {path.name}", None, "lines") as progress:
        for line, cells, problem in _rows(path, config, [*texts, *([label] if label else [])], flags):
            progress.advance()
            if cells is not None:
                problem = _take(found, line, cells, label, separator)
            if problem:
                bad.append((line, problem))
    left_out = count_or_refuse(path, bad, config.bad_rows, flags)
    return not_empty(replace(found, left_out=dict(left_out)))


def _take(found: Table, line: int, cells: dict[str, Any], label: str | None, separator: str | None) -> str:
    """Add one line to ``found``, or say why not."""
    values = {name: cells[name] for name in found.texts}
    if wrong := next((name for name, text in values.items() if not isinstance(text, str)), None):
        return f"{wrong} is no text"
    if empty := next((name for name, text in values.items() if not text.strip()), None):
        return f"{empty} is empty"
    if label is not None and found.labels is not None:
        labels = _labels(cells[label], separator)
        if labels is None or (separator is None and len(labels) != 1):
            return f"{label} is no label"
        found.labels.append(labels)
    found.lines.append(line)
    for name, text in values.items():
        found.texts[name].append(text.strip())
    return ""


def _labels(cell: Any, separator: str | None) -> tuple[str, ...] | None:
    if isinstance(cell, str):
        parts = [cell] if separator is None else cell.split(separator)
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    values = cell if isinstance(cell, list) else [cell]
    if all(isinstance(value, str | int) for value in values):
        return tuple(dict.fromkeys(json.dumps(value) if isinstance(value, bool) else str(value) for value in values))
    return None


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
        f"line {number} of {path} is not UTF-8: byte 0x{raw[error.start]:02x} at place {error.start + 1} of the line. "
        f"It looks like {looks}; convert the file, as with iconv -f {looks.split()[0]} -t UTF-8."
    )


def _rows(path: Path, config: FilesConfig, wanted: Sequence[str], flags: str) -> Iterator[Row]:
    kind = config.format if config.format != "auto" else _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} does not say how to read it (known: {', '.join(_FORMATS)}). Name it "
            f"with --{flags}.format."
        )
    if kind == "jsonl":
        return _json_rows(path, wanted)
    if kind == "label_text":
        return _label_text_rows(path, wanted)
    return _cell_rows(path, kind, config.columns, wanted, flags)


def _cell_rows(path: Path, kind: str, columns: Sequence[str], wanted: Sequence[str], flags: str) -> Iterator[Row]:
    """Tab- or comma-separated lines; the first one names the columns where ``columns`` does not."""
    cells_of = _tsv_cells if kind == "tsv" else _csv_cells
    names = list(columns)
    for line, cells in cells_of(path):
        if not names:
            names = [name.strip() for name in cells]
            _check_columns(path, names, wanted, flags)
            continue
        if line == 1:
            _check_columns(path, names, wanted, flags)
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


def _check_columns(path: Path, names: Sequence[str], wanted: Sequence[str], flags: str) -> None:
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path} has two columns called {double[0]!r}; every column needs its own name.")
    for name in wanted:
        if name not in names:
            shown = ", ".join(repr(column) for column in names[:20])
            raise InputError(
                f"{path} has no column {name!r}; it has {shown}. Say which one is meant, or, where the file has no "
                f"header line, name its columns in order with --{flags}.columns."
            )


def _json_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells, problem = json_object(line)
        if problem:
            yield number, None, problem
        elif lacking := [name for name in wanted if name not in cells]:
            yield number, None, f"no key {lacking[0]!r}"
        else:
            yield number, cells, ""


def json_object(line: str) -> tuple[dict[str, Any], str]:
    """Read one line of JSON lines.

    Returns:
        The object, and what is wrong with it ("" where nothing is; else the object is empty).
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


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold a text: JSON can escape halves of characters, which no tokenizer and no file takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _label_text_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    if unknown := set(wanted) - {"text", "label"}:
        raise unknown_name("column of a label_text file", min(unknown), ("text", "label"))
    for number, line in read_lines(path):
        if line.strip():
            label, _, text = line.strip().partition(" ")
            yield number, {"label": label, "text": text}, ""


def count_or_refuse(path: Path, bad: Sequence[tuple[int, str]], policy: str, flags: str = "data") -> Counter[str]:
    """Count lines by reason, or refuse them.

    Args:
        path: Their file.
        bad: Line and reason of each.
        policy: ``raise`` or ``drop``.
        flags: See ``read_table``.

    Raises:
        InputError: There is one, and the policy is ``raise``.
    """
    reasons = Counter(reason for _, reason in bad)
    if bad and policy == "raise":
        told = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
        raise InputError(
            f"line {bad[0][0]} of {path}: {bad[0][1]}; {len(bad):,} such lines in all ({told}). Mend them or pass "
            f"--{flags}.bad-rows drop."
        )
    return reasons


def not_empty(table: Read, what: str = "example") -> Read:
    """The same examples, of which there must be one.

    Args:
        table: The examples of a file.
        what: One of them, for the message.

    Raises:
        InputError: There is none.
    """
    if not len(table):
        left = ", ".join(f"{reason}: {count:,}" for reason, count in table.left_out.items())
        raise InputError(f"{table.path} holds no {what} that can be used{f' ({left})' if left else ''}.")
    return table


def hold_out(table: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Cut examples into training and validation at random; what was left out of the file counts for training.

    Raises:
        InputError: There are too few for both.
    """
    n = round(len(table) * share)
    if not 0 < n < len(table):
        raise InputError(
            f"{table.path} has {len(table):,} examples; holding out the share {share} leaves nothing for training or "
            "for validation. Give a validation file."
        )
    order = np.random.default_rng(seed).permutation(len(table))
    train, validation = (table.take(sorted(rows.tolist())) for rows in (order[n:], order[:n]))
    return train, replace(validation, left_out={})
