"""Examples of a text task: texts and labels with their lines, from a file or from lists."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from recsys_bert.errors import InputError

Rows = TypeVar("Rows", bound="Examples")
Read = TypeVar("Read", bound="Counted")

HALF = r"half of a character (a lone surrogate, such as \ud83d)"
"""Reason for refusing a text that ``is_text`` is False for."""


class Counted(Protocol):
    """Examples that know their file and the lines that could not be used."""

    @property
    def path(self) -> Path:
        """File, or name of the lists."""

    @property
    def left_out(self) -> dict[str, int]:
        """Number of unusable lines, by reason."""

    def __len__(self) -> int: ...


class Examples(Counted, Protocol):
    """Examples that can be split in two."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # of any dataclass, so that ``replace`` takes them

    def take(self: Rows, rows: Sequence[int]) -> Rows:
        """Select examples."""


@dataclass(frozen=True)
class Table:
    """Examples in the order of their file or lists."""

    path: Path
    """File, or name of the lists."""

    lines: list[int]
    """Line of each example, from 1."""

    texts: dict[str, list[str]]
    """Texts by column, stripped; none is empty."""

    labels: list[tuple[str, ...]] | None = None
    """Labels of each example, exactly one where the task is not multi-label; None where no label was read."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Number of unusable lines, by reason."""

    flags: str | None = "data"
    """Group of the command's flags that say how the file is read, for messages; None for lists."""

    bad_rows: str = "raise"
    """Policy for unusable examples: ``raise`` or ``drop``."""

    digest: str | None = None
    """Fingerprint of lists; None for a file."""

    unit: str = "line"
    """Word for the numbers ``lines``, in messages: ``line``, ``row`` or ``file``."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "Table":
        """Select examples."""
        texts = {name: [column[row] for row in rows] for name, column in self.texts.items()}
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        return replace(self, lines=[self.lines[row] for row in rows], texts=texts, labels=labels)

    def without(self, reasons: Sequence[str]) -> "Table":
        """Drop the examples with a reason, and count them.

        Args:
            reasons: ``[n]``, "" for an example that stays.

        Raises:
            InputError: There is one, and ``bad_rows`` is ``raise``; or nothing is left.
        """
        bad = [(line, reason) for line, reason in zip(self.lines, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_or_refuse(self.path, bad, self.bad_rows, self.flags, self.unit)
        good = self.take([row for row, reason in enumerate(reasons) if not reason])
        return not_empty(replace(good, left_out=dict(left_out)))


def table_of(
    texts: Mapping[str, Iterable[str]], labels: Iterable[Any] | None, name: str, *, multi_label: bool = False
) -> Table:
    """Make a table of lists.

    Args:
        texts: Lists of texts by name, all of one length.
        labels: Label of each example: text or a whole number, or, with ``multi_label``, a list of these; None: none.
        name: Part of the data, such as ``training``; for messages.
        multi_label: Whether an example has any number of labels.

    Raises:
        InputError: Not lists of texts, of different lengths, empty, or a label of another type.
    """
    columns = {column: [text.strip() for text in text_list(values, column)] for column, values in texts.items()}
    names = None if labels is None else label_tuples(labels, multi_label=multi_label)
    check_lengths({**columns, **({} if names is None else {"labels": names})})
    for column, values in columns.items():
        if (empty := next((n for n, text in enumerate(values) if not text), None)) is not None:
            raise InputError(f"{column}[{empty}] of the {name} examples is empty; leave it out.")
    digest = sha256(json.dumps([list(columns.values()), names]).encode()).hexdigest()
    count = len(next(iter(columns.values())))
    path = Path(f"the {name} examples")
    return not_empty(Table(path, list(range(1, count + 1)), columns, names, flags=None, digest=digest))


def text_list(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Check that these are texts, in any list, array or column of a frame.

    Args:
        texts: The texts.
        name: For messages.

    Raises:
        InputError: A single string, something else than a string in it, or half of a character.
    """
    if isinstance(texts, str | bytes):
        raise InputError(f"{name} is a single string; give a list of texts, as in [{texts[:20]!r}].")
    values = list(texts)
    for n, text in enumerate(values):
        if not isinstance(text, str):
            raise InputError(f"{name}[{n}] is a {type(text).__name__}; give a list of texts.")
        if not is_text(text):
            raise InputError(f"{name}[{n}] holds {HALF}; mend it or leave it out.")
    return values


def check_lengths(columns: Mapping[str, Sequence[Any]]) -> None:
    """Refuse lists of different lengths.

    Raises:
        InputError: They are.
    """
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values):,}" for name, values in columns.items())
        raise InputError(f"lists of different lengths: {lengths}. Give one of each for every example.")


def label_tuples(labels: Iterable[Any], *, multi_label: bool = False) -> list[tuple[str, ...]]:
    """Labels of examples as tuples of text.

    Args:
        labels: One an example: text, a whole number or a truth value; with ``multi_label`` a list of these.
        multi_label: Whether an example has any number of labels.

    Raises:
        InputError: A single string, or a label of another type.
    """
    if isinstance(labels, str | bytes):
        raise InputError("labels is a single string; give a list with the label of each example.")
    cells = [label if not multi_label or isinstance(label, str) else list(label) for label in labels]
    if multi_label and any(map(is_indicator, cells)):
        raise InputError("labels are lists of 0 and 1, one a class; list the labels that hold, as [['a', 'c'], ['b']].")
    tuples = [label_tuple(cell) for cell in cells]
    for n, names in enumerate(tuples):
        if names is None or (not multi_label and len(names) != 1):
            allowed = (
                "lists of texts or whole numbers" if multi_label else "texts or whole numbers, without multi_label"
            )
            raise InputError(f"labels[{n}] is no label; labels are {allowed}.")
    return [names for names in tuples if names is not None]


def is_indicator(cell: Any) -> bool:
    """True for a list of 0 and 1, one a class: values repeat, which labels of a text do not."""
    if not isinstance(cell, list) or any(isinstance(value, str) or value not in (0, 1) for value in cell):
        return False
    return len(cell) > len(set(cell))


def label_tuple(cell: Any, separator: str | None = None) -> tuple[str, ...] | None:
    """Labels of one example, each once; None where the cell holds anything but text and numbers.

    Args:
        cell: A text, a number, or a list of them.
        separator: Cuts a text into several labels; None: it is one label.
    """
    if isinstance(cell, str):
        parts = [cell] if separator is None else cell.split(separator)
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    cells = cell if isinstance(cell, list | tuple | set | frozenset) else [cell]
    values = [value.item() if isinstance(value, np.generic) else value for value in cells]
    if all(isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)) for value in values):
        return tuple(dict.fromkeys(_label_text(value) for value in values))
    return None


def _label_text(value: str | float) -> str:
    """Text of a label; 1.0, as frames with missing values have it, is 1."""
    if isinstance(value, bool):
        return json.dumps(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_text(text: str) -> bool:
    """Check that UTF-8 can hold a text: JSON can escape halves of characters, which no tokenizer and no file takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def flag(group: str | None, name: str) -> str:
    """Flag of a setting in a group of a command's flags: ``--data.encoding``, or, in none (""), ``--encoding``."""
    return f"--{group}.{name}" if group else f"--{name}"


def count_or_refuse(
    path: Path, bad: Sequence[tuple[int, str]], policy: str, flags: str | None = "data", unit: str = "line"
) -> Counter[str]:
    """Count unusable lines by reason, or refuse them.

    Args:
        path: Their file.
        bad: Line and reason of each.
        policy: ``raise`` or ``drop``.
        flags: See ``Table``.
        unit: See ``Table``.

    Raises:
        InputError: There is one, and the policy is ``raise``.
    """
    reasons = Counter(reason for _, reason in bad)
    if bad and policy == "raise":
        counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
        line, advice = unit, f"Mend them or pass {flag(flags, 'bad-rows')} drop."
        if flags is None:
            line, advice = "example", "Mend them."
        raise InputError(
            f"{line} {bad[0][0]} of {path}: {bad[0][1]}; {len(bad):,} such {line}s in all ({counts}). {advice}"
        )
    return reasons


def not_empty(table: Read, what: str = "example") -> Read:
    """Refuse a file without a usable example.

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
