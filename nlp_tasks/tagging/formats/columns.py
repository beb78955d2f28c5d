"""Columns of a file of words and tags: which hold what, recognised by their contents."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nlp_tasks.lines import read_lines
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.schemes import OUTSIDE, Scheme, parts
from nlp_tasks.tagging.tag_reading import (
    FILE_SCHEMES,
    find_file_scheme,
    is_tag,
    recognise_scheme,
    with_type,
)
from recsys_bert.errors import InputError

DOCUMENT = "-DOCSTART-"
"""Mark between documents of CoNLL-2003, which looks like a sentence of one word."""

MOST_WORDS = 10_000
"""Words of a sentence at most; more are a file without empty lines."""

_SAMPLE = 20_000  # lines by which columns are recognised
_MOST_TYPES = 100  # of tags without letters; more are words
_CONLL_2012 = re.compile(r"#begin document \(")
_IO_TYPE = re.compile(r"[^\W\d][\w./&-]*")

Block = list[tuple[int, list[str]]]
"""Lines of one sentence: line number and cells."""


@dataclass(frozen=True)
class Columns:
    """Columns of a file."""

    word: int
    tags: tuple[int, ...]
    """The outermost entities first."""

    width: int
    """Cells of a line; 0 where they vary."""

    scheme: Scheme
    brackets: bool = False
    """Entities are in brackets, as in CoNLL-2012."""

    def describe(self) -> str:
        """One line for a summary."""
        tags = " ".join(map(str, self.tags))
        nested = ", nested" if len(self.tags) > 1 else ""
        return (
            f"words in column {self.word}, tags in {tags}{nested} ({'brackets' if self.brackets else self.scheme.name})"
        )


def cells_of(line: str) -> list[str]:
    """Cells of a line, separated by tabs or spaces; a blank may be a word where all characters are."""
    if "\t" in line:
        return [cell.strip(" ") or cell for cell in line.split("\t")]
    cells = re.split(" +", line.strip(" "))
    return [" ", *cells] if line.startswith("  ") or (line.startswith(" ") and len(cells) == 1) else cells


def _raw_blocks(lines: Iterable[tuple[int, str]]) -> Iterator[Block]:
    """Blocks between empty lines, comments included; of one that is too long, its beginning alone."""
    block: Block = []
    for number, line in lines:
        if line.strip(" \t"):
            if len(block) <= MOST_WORDS:
                block.append((number, cells_of(line)))
        elif block:
            yield block
            block = []
    if block:
        yield block


def blocks(lines: Iterable[tuple[int, str]], columns: Columns) -> Iterator[tuple[Block, bool]]:
    """Sentences of a file, without comments; True with a mark between documents instead, which ends a sentence too."""
    for raw in _raw_blocks(lines):
        block: Block = []
        for number, cells in raw:
            if is_comment(cells, columns):
                continue
            if DOCUMENT in (cells[0], cells[min(columns.word, len(cells) - 1)]):
                if block:
                    yield block, False
                yield [(number, cells)], True
                block = []
            else:
                block.append((number, cells))
        if block:
            yield block, False


def is_comment(cells: Sequence[str], columns: Columns) -> bool:
    """True for a line that begins with ``#`` and is no word with tags."""
    if not cells[0].startswith("#"):
        return False
    if columns.brackets:
        return True
    if len(cells) != columns.width:
        return True
    return columns.scheme.name != "io" and not all(is_tag(cells[column]) for column in columns.tags)


def recognise_columns(path: Path, config: AnnotatedFilesConfig, *, flags: str, strict: bool = False) -> Columns | None:
    """Columns of a file, as far as the settings do not name them.

    Args:
        path: The file.
        config: Its settings.
        flags: Group of the command's flags with these settings, for messages.
        strict: Demand regularity: a constant number of cells in nearly all lines, and a column of tags.

    Returns:
        None where there is no column of tags, or, if ``strict``, the lines are irregular.

    Raises:
        InputError: The file cannot be read, or its tags are of no scheme.
    """
    lines = islice(read_lines(path, config.encoding, flags=flags), _SAMPLE)
    sample = [[cells for _, cells in block] for block in _raw_blocks(lines)]
    if sample and sample[0] and _CONLL_2012.match(" ".join(sample[0][0])):
        return _conll_2012(config)
    counted = Counter(len(cells) for block in sample for cells in block if not cells[0].startswith("#"))
    if not counted:
        return None
    width, n = counted.most_common(1)[0]
    if strict and (width < 2 or n < 0.98 * counted.total()):
        return None
    regular = [rows for block in sample if (rows := _regular(block, width))]
    tags, io = _tag_columns(regular, width, config)
    if not tags:
        return None
    inside = all(-width <= column < width for column in tags)  # else every line is refused, with its number
    names = [[with_type(cells[tags[-1]]) for cells in rows] for rows in regular if inside]
    if config.scheme is not None:
        scheme = find_file_scheme(config.scheme)
    elif io:
        scheme = FILE_SCHEMES["io"]
    else:
        scheme = recognise_scheme([name for name in sentence if is_tag(name)] for sentence in names)
    word = _word_column(regular) if config.word_column is None else config.word_column
    return Columns(word, tags, width, scheme)


def _conll_2012(config: AnnotatedFilesConfig) -> Columns:
    """Columns of CoNLL-2012: the word in 3, entities in brackets in 10; the number of later columns varies."""
    word = 3 if config.word_column is None else config.word_column
    return Columns(word, config.tag_columns or (10,), 0, FILE_SCHEMES["bio"], brackets=True)


def _regular(block: Sequence[Sequence[str]], width: int) -> list[Sequence[str]]:
    """Lines with the usual number of cells, without marks and comments that have it by chance."""
    rows = [cells for cells in block if len(cells) == width and cells[0] != DOCUMENT]
    return [cells for cells in rows if not cells[0].startswith("#") or is_tag(cells[-1])]


def _tag_columns(
    regular: Sequence[Sequence[Sequence[str]]], width: int, config: AnnotatedFilesConfig
) -> tuple[tuple[int, ...], bool]:
    """Columns of tags, and True where these have no letters (scheme io)."""
    if config.tag_columns is not None:
        inside = all(-width <= column < width for column in config.tag_columns)
        values = _values(regular, config.tag_columns[-1]) if inside else Counter[str]()
        return config.tag_columns, config.scheme is None and not _are_tags(values) and _are_types(values)
    if config.scheme == "io":
        return (width - 1,), True
    candidates = [column for column in range(1, width) if _are_tags(_values(regular, column))]
    if not candidates:
        io = width > 1 and config.scheme is None and _are_types(_values(regular, width - 1))
        return ((width - 1,) if io else ()), io
    with_types = [column for column in candidates if _types(regular, column)]
    columns = [(with_types or candidates)[-1]]
    types = _types(regular, columns[0])
    for column in reversed(with_types[:-1]):
        others = _types(regular, column)
        if column != columns[0] - 1 or not (_mostly_in(others, types) or _mostly_in(types, others)):
            break
        columns.insert(0, column)
        types += others
    return tuple(columns), False


def _values(regular: Sequence[Sequence[Sequence[str]]], column: int) -> Counter[str]:
    return Counter(cells[column] for rows in regular for cells in rows)


def _are_tags(values: Counter[str]) -> bool:
    """Nearly all values are tags: ``O`` among them, or all of a type."""
    tags = {value: n for value, n in values.items() if is_tag(value)}
    typed = all("-" in value for value in tags)
    return bool(tags) and sum(tags.values()) >= 0.98 * values.total() and (OUTSIDE in values or typed)


def _are_types(values: Counter[str]) -> bool:
    """Values are types alone, mostly ``O``, as in Few-NERD."""
    named = all(_IO_TYPE.fullmatch(value) for value in values)
    return named and 1 < len(values) <= _MOST_TYPES and values[OUTSIDE] >= 0.2 * values.total()


def _types(regular: Sequence[Sequence[Sequence[str]]], column: int) -> Counter[str]:
    """Tags by type."""
    counts = Counter[str]()
    for value, n in _values(regular, column).items():
        if kind := parts(value)[1]:
            counts[kind] += n
    return counts


def _mostly_in(types: Counter[str], others: Counter[str]) -> bool:
    """Nearly all tags of one column have types of another one."""
    return sum(n for kind, n in types.items() if kind in others) >= 0.8 * types.total()


def _word_column(regular: Sequence[Sequence[Sequence[str]]]) -> int:
    """The first column, or the second where the first numbers the words of every sentence from 1 or 0."""
    numbered = sum(
        [cells[0] for cells in rows] in ([str(n) for n in range(first, first + len(rows))] for first in (0, 1))
        for rows in regular
    )
    return 1 if regular and numbered > 0.9 * len(regular) else 0


def check_shape(block: Block, columns: Columns, *, tagged: bool) -> tuple[int, str] | None:
    """First problem with the columns of a sentence: line and reason.

    Args:
        block: The sentence.
        columns: The file's.
        tagged: Demand the columns of tags.
    """
    if len(block) > MOST_WORDS:
        return block[0][0], f"more than {MOST_WORDS:,} words; are the empty lines between sentences missing?"
    needed = (columns.word, *(columns.tags if tagged else ()))
    for line, cells in block:
        if tagged and columns.width and len(cells) != columns.width:
            return line, f"{len(cells)} columns where the file has {columns.width}"
        if lacking := [column for column in needed if not -len(cells) <= column < len(cells)]:
            return line, f"there is no column {lacking[0]} among {len(cells)}"
        if len({column % len(cells) for column in needed}) < len(needed):
            return line, f"columns {', '.join(map(str, needed))} of {len(cells)} are not all different"
        if not cells[columns.word]:
            return line, "the word is empty"
    return None


def check_tag_columns(path: Path, columns: Columns | None, config: AnnotatedFilesConfig, flags: str) -> Columns:
    """Refuse a file without a column of tags.

    Raises:
        InputError: ``columns`` is None and the settings name none.
    """
    if columns is not None:
        return columns
    lines = islice(read_lines(path, config.encoding, flags=flags), _SAMPLE)
    first = next((cells_of(line) for _, line in lines if line.strip()), [])
    raise InputError(
        f"no column of {path} has tags, such as O and B-PER; its first line is {' | '.join(first)[:80]!r}. If it is "
        f"annotated, name the columns with --{flags}.word-column and --{flags}.tag-columns, and the --{flags}.scheme."
    )
