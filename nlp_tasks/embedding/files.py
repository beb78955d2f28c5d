"""Files of texts and pairs as published: their columns are recognised by name or by shape.

STS-B (seven columns without a header, or GLUE's file), SNLI and OCNLI (JSON lines), PAWS-X, LCQMC, AFQMC, or any file
whose columns are named; a ``.txt`` without tabs has a text a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_tasks.config import FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.embedding.data import FIRST, NEGATIVE, SECOND, grade_of
from nlp_tasks.examples import Table
from nlp_tasks.lines import read_lines, suffix
from nlp_tasks.rows import csv_cells, format_of, read_rows
from recsys_bert.errors import InputError

_PAIRS = (
    ("first", "second"),
    ("sentence1", "sentence2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("anchor", "positive"),
)
_TEXTS = ("text", "sentence")
_LABELS = ("gold_label", "label", "score", "similarity_score", "is_duplicate")
_NEGATIVES = ("negative", "hard_negative")
_STS_B = ("genre", "file", "year", "number", "label", "first", "second")
_MORE_OF_STS_B = ("source1", "source2")  # of the lines of some releases


@dataclass(frozen=True, kw_only=True)
class PairColumns:
    """Columns of texts or pairs; those that are None are recognised."""

    first: str | None = None
    """Column with the text, or the first text of a pair; None: recognised, as sentence1 is."""

    second: str | None = None
    """Column with the second text; None: recognised, as sentence2 is; none where the file has texts alone."""

    score: str | None = None
    """Column with the grade of a pair: a number, or entailment, neutral, contradiction; None: recognised, as score and
    gold_label are; none where pairs have no grade."""

    negative: str | None = None
    """Column with a text like the first that does not match; None: recognised, as negative is."""

    def __post_init__(self) -> None:
        if self.second is None and (self.score is not None or self.negative is not None):
            raise InputError("score and negative belong to pairs; name their second text too.")
        if self.second is not None and self.first is None:
            raise InputError(f"second is {self.second!r}; name the first text's column too.")


def read_pairs(path: Path, config: FilesConfig, columns: PairColumns, *, flags: str = "data") -> Table:
    """Read a file of texts or pairs into the columns ``first``, ``second`` and ``negative``, as far as there are any.

    Args:
        path: The file.
        config: How it is read.
        columns: Names of its columns.
        flags: Group of the command's flags with these settings, for messages.

    Raises:
        InputError: No columns are named and none recognised; see ``read_table``.
    """
    path = Path(path)
    config, columns = _recognised(path, config, columns, flags)
    names = {FIRST: columns.first, SECOND: columns.second, NEGATIVE: columns.negative}
    used = {name: column for name, column in names.items() if column is not None}
    table = read_table(path, config, list(used.values()), columns.score, flags=flags)
    table = replace(table, texts={name: table.texts[column] for name, column in used.items()})
    _check_class_numbers(table, columns)
    return table


def _recognised(path: Path, config: FilesConfig, columns: PairColumns, flags: str) -> tuple[FilesConfig, PairColumns]:
    """Format and columns of a file: as set, or by its first rows."""
    config = _with_format(path, config, flags)
    if columns.first is not None:
        return config, columns
    kind = format_of(path, config, flags)
    if kind in ("tsv", "csv") and not config.columns:
        first = _first_cells(path, kind, config, flags)
        if not _named([name.strip() for name in first]):
            config = replace(config, columns=_shape(path, kind, first, flags))
            return config, _columns(config.columns)
    names = list(config.columns) or _keys(path, kind, config, flags)
    if (known := _named(names)) is None:
        raise InputError(
            f"{path}: no columns of texts are recognised among {', '.join(map(repr, names[:12]))}; name them with "
            "--first, and for pairs --second and --score."
        )
    return config, known


def _with_format(path: Path, config: FilesConfig, flags: str) -> FilesConfig:
    """Format by ending; a .txt, and a .csv whose first line has tabs, as STS-B's, is tab-separated or a text a line."""
    if config.format != "auto" or path.is_dir() or suffix(path) not in (".txt", ".csv", ""):
        return config
    _, line = next(read_lines(path, config.encoding, flags=flags), (1, ""))
    if suffix(path) == ".csv":
        return replace(config, format="tsv") if "\t" in line else config
    return replace(config, format="tsv", columns=config.columns if "\t" in line or config.columns else ("text",))


def _first_cells(path: Path, kind: str, config: FilesConfig, flags: str) -> list[str]:
    lines = read_lines(path, config.encoding, flags=flags)
    if kind == "tsv":
        return next((line.split("\t") for _, line in lines), [])
    return next((cells for _, cells in csv_cells(path, lines)), [])


def _keys(path: Path, kind: str, config: FilesConfig, flags: str) -> list[str]:
    """Keys of the first usable row."""
    rows: list[dict[str, Any]] = [
        cells for _, cells, _ in islice(read_rows(path, kind, config, [], flags), 20) if cells is not None
    ]
    return list(rows[0]) if rows else []


def _named(names: Sequence[str]) -> PairColumns | None:
    """Known columns among names."""
    for first, second in _PAIRS:
        if first in names and second in names:
            label = next((name for name in _LABELS if name in names), None)
            negative = next((name for name in _NEGATIVES if name in names), None)
            return PairColumns(first=first, second=second, score=label, negative=negative)
    return next((PairColumns(first=name) for name in _TEXTS if name in names), None)


def _columns(names: Sequence[str]) -> PairColumns:
    known = _named(names)
    assert known is not None
    return known


def _shape(path: Path, kind: str, cells: Sequence[str], flags: str) -> tuple[str, ...]:
    """Names of the columns of a file without a header, by its first line.

    Raises:
        InputError: It is neither a pair, a pair and a grade, nor STS-B's.
    """
    if len(cells) in (7, 9) and grade_of(cells[4]) is not None:
        return _STS_B + _MORE_OF_STS_B[: len(cells) - 7]
    if len(cells) == 3 and grade_of(cells[2]) is not None:
        return ("first", "second", "label")
    if len(cells) == 2 and grade_of(cells[1]) is None:
        return ("first", "second")
    if len(cells) == 1:
        return ("text",)
    first = ", ".join(repr(cell[:40]) for cell in cells[:8])
    raise InputError(
        f"{path}: the first line has {len(cells)} cells ({first}) that are neither known names nor two texts, two "
        f"texts and a grade, or STS-B's seven. Name them in order with --{flags}.columns, and the texts with --first "
        "and --second."
    )


def _check_class_numbers(table: Table, columns: PairColumns) -> None:
    """Refuse numbers of inference classes, whose order (entailment is 0) is not that of grades.

    Raises:
        InputError: Labels of premises and hypotheses are 0, 1 and 2.
    """
    labels = {label for (label,) in table.labels or []}
    if columns.first == "premise" and "2" in labels and labels <= {"-1", "0", "1", "2"}:
        raise InputError(
            f"{table.path} numbers the classes of its pairs ({', '.join(sorted(labels))}), and 0 may mean entailment. "
            "Write entailment, neutral and contradiction."
        )
