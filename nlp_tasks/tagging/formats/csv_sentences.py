"""Sentences of CSV: a word a row, as Kaggle's ``Sentence #,Word,POS,Tag``, or a sentence a row, with lists."""

from ast import literal_eval
from collections.abc import Iterator, Sequence
from typing import Any

from nlp_tasks.lines import read_lines
from nlp_tasks.rows import csv_cells
from nlp_tasks.tagging.formats.columns import MOST_WORDS
from nlp_tasks.tagging.formats.json_sentences import (
    ENTITIES_KEYS,
    TAGS_KEYS,
    TEXT_KEYS,
    WORDS_KEYS,
    JSONSentence,
    read_sentence,
)
from nlp_tasks.tagging.formats.reading import Reading
from recsys_bert.errors import InputError
from recsys_bert.parsing import parse_json

_WORDS = ("word", *WORDS_KEYS, "token", *TEXT_KEYS)
_TAGS = ("tag", *TAGS_KEYS, *ENTITIES_KEYS)
_SENTENCES = ("sentence #", "sentence_id", "sentence id", "sentence_idx", "sent_id", "sentence")

Rows = list[tuple[int, list[str]]]
"""Cells by line; no cells for an empty line."""


def read_csv(reading: Reading, entities: bool) -> Iterator[tuple[int, JSONSentence]]:
    """Sentences with the line in which each begins.

    Raises:
        InputError: The header names no column of words or texts, or, with ``entities``, none of tags or entities.
    """
    lines = read_lines(reading.path, reading.config.encoding, flags=reading.flags)
    rows = csv_cells(reading.path, lines)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    word = _column(reading, header, reading.config.text_key, _WORDS, "words or texts", "text-key")
    tag = None
    if entities:
        tag = _column(reading, header, reading.config.entities_key, _TAGS, "tags or entities", "entities-key", (word,))
    sentence = _find(header, _SENTENCES, (word,) if tag is None else (word, tag))
    contents = list(rows)
    if _of_lists(contents, tag, sentence):
        yield from (_of_row(reading, number, cells, header, word, tag) for number, cells in contents if any(cells))
    else:
        yield from (_of_words(one, len(header), word, tag) for one in _sentences(contents, sentence))


def _find(header: Sequence[str], names: Sequence[str], others: Sequence[int] = ()) -> int | None:
    lower = [name.lower() for name in header]
    return next((lower.index(name) for name in names if name in lower and lower.index(name) not in others), None)


def _column(
    reading: Reading,
    header: Sequence[str],
    name: str | None,
    names: Sequence[str],
    kind: str,
    setting: str,
    others: Sequence[int] = (),
) -> int:
    at = _find(header, names, others) if name is None else _find(header, (name.lower(),))
    if at is None:
        columns = ", ".join(repr(column[:40]) for column in header[:20]) or "none"
        usual = ", ".join(dict.fromkeys(names)) if name is None else name
        raise InputError(
            f"{reading.path} has no column of {kind} ({usual}); its first line has {columns}. Name one with "
            f"--{reading.flags}.{setting}; for words and tags in columns with blanks between, or lines of text, set "
            f"--{reading.flags}.format conll or lines."
        )
    return at


def _of_lists(rows: Rows, tag: int | None, sentence: int | None) -> bool:
    """True for a sentence a row: its tags or entities are a list, or there are none and nothing numbers sentences."""
    if tag is None:
        return sentence is None
    first = next((cells for _, cells in rows if len(cells) > tag), None)
    return first is not None and first[tag].lstrip().startswith(("[", "{"))


def _of_row(
    reading: Reading, number: int, cells: list[str], header: Sequence[str], word: int, tag: int | None
) -> tuple[int, JSONSentence]:
    """Sentence of a row, whose cells may be lists as Python or JSON writes them."""
    if len(cells) != len(header):
        return number, JSONSentence(problem=f"{len(cells)} cells where there are {len(header)} columns")
    text, annotation = _value(cells[word]), None if tag is None else _value(cells[tag])
    of_tags = isinstance(annotation, list) and bool(annotation) and not isinstance(annotation[0], list | dict | tuple)
    if of_tags and isinstance(text, str):
        text = text.split()
    names = reading.config.tag_names
    return number, read_sentence(
        {"text": text, "entities": annotation}, "text", "entities", names, entities=tag is not None
    )


def _value(cell: str) -> Any:
    if not cell.lstrip().startswith(("[", "{")):
        return cell
    for parse in (parse_json, literal_eval):
        try:
            return parse(cell.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return cell


def _sentences(rows: Rows, sentence: int | None) -> Iterator[Rows]:
    """Rows by sentence: a new one begins at another number, and behind an empty line."""
    block: Rows = []
    current = ""
    for number, cells in rows:
        name = cells[sentence].strip() if sentence is not None and sentence < len(cells) else ""
        empty = not any(cells)
        if block and (empty or (name and name != current)):
            yield block
            block = []
        current = name or current
        if not empty:
            block.append((number, cells))
    if block:
        yield block


def _of_words(rows: Rows, width: int, word: int, tag: int | None) -> tuple[int, JSONSentence]:
    problem = ""
    if len(rows) > MOST_WORDS:
        problem = f"more than {MOST_WORDS:,} words; is the column that numbers sentences called as one of: "
        problem += ", ".join(_SENTENCES) + "?"
    for number, cells in rows:
        if len(cells) != width:
            problem = problem or f"line {number} has {len(cells)} cells where there are {width} columns"
        elif not cells[word].strip() or (tag is not None and not cells[tag].strip()):
            problem = problem or f"line {number} has an empty {'tag' if cells[word].strip() else 'word'}"
        elif len(cells[word].split()) > 1:
            problem = problem or f"line {number} has {cells[word][:40]!r} in place of a word, and a tag that is no list"
    if problem:
        return rows[0][0], JSONSentence(problem=problem)
    tags = [] if tag is None else [[cells[tag].strip() for _, cells in rows]]
    return rows[0][0], JSONSentence(words=[cells[word].strip() for _, cells in rows], tags=tags)
