"""Sentences in columns: a word and its tags a line."""

import re
from itertools import accumulate
from pathlib import Path

from nlp_tasks.lines import read_lines
from nlp_tasks.normalisation import is_visible
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.data import LOST, REPAIRED, SAMPLE, AnnotatedSentences
from nlp_tasks.tagging.formats.columns import Columns, blocks, check_shape, check_tag_columns, recognise_columns
from nlp_tasks.tagging.formats.reading import UNSEEN, Reading, of_words
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.tag_reading import find_file_scheme, read_repaired, tags_of_brackets
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.progress import Progress

_DECORATIONS = (
    (re.compile(r"(.)\d"), True, "words without the number of their position"),
    (re.compile(r"[a-z]{2,3}(?:-[a-z]+)?:(.+)"), False, "words without their language"),
)

Row = tuple[int, list[str], tuple[tuple[Span, ...], ...]]
"""Line, words and entities of a sentence."""


def read_conll(reading: Reading, entities: bool) -> AnnotatedSentences:
    """Sentences of a file of columns; problems and repairs go into ``reading``."""
    path, config = reading.path, reading.config
    columns = recognise_columns(path, config, flags=reading.flags)
    if entities and columns is None and config.scheme is None and config.tag_columns is None:
        columns = _fewest(path, columns, reading)
    columns = columns or _default_columns(config)
    rows: list[Row] = []
    lines = read_lines(path, config.encoding, flags=reading.flags)
    with Progress(f"reading {path.name}", None, "sentences") as progress:
        for block, is_mark in blocks(lines, columns):
            progress.advance()
            if is_mark:
                reading.left_out["mark between documents"] += 1
                continue
            levels, problem = _levels(reading, block, columns) if entities else (((),), None)
            problem = check_shape(block, columns, tagged=entities) or problem
            if problem is not None:
                reading.refuse(*problem, sum(map(len, levels)))
                continue
            rows.append((block[0][0], *_visible(reading, [cells[columns.word] for _, cells in block], levels)))
    rows = _without_decoration(reading, [row for row in rows if row[1]])
    return of_words(path, rows, config, (columns.word, columns.tags))


def _without_decoration(reading: Reading, rows: list[Row]) -> list[Row]:
    """Take off what sets add to every word: the position in Weibo (``科0``), the language in WikiAnn (``en:Oslo``)."""
    words = [word for _, sentence, _ in rows[:SAMPLE] for word in sentence]
    for pattern, of_chinese, name in _DECORATIONS:
        if words and all(map(pattern.fullmatch, words)) and (mostly_chinese(words) or not of_chinese):
            bare = [(line, [pattern.sub(r"\1", word) for word in sentence], levels) for line, sentence, levels in rows]
            reading.repaired[name] += sum(len(sentence) for _, sentence, _ in rows)
            return bare
    return rows


def _visible(
    reading: Reading, words: list[str], levels: tuple[tuple[Span, ...], ...]
) -> tuple[list[str], tuple[tuple[Span, ...], ...]]:
    """Leave out words of characters that are not seen, which plain text has not as words either."""
    is_word = [word.isspace() or is_visible(word) for word in words]
    if all(is_word):
        return words, levels
    before = [0, *accumulate(is_word)]
    moved = tuple(
        tuple(Span(before[a], before[b], kind) for a, b, kind in level if before[a] < before[b]) for level in levels
    )
    reading.repaired[UNSEEN] += len(words) - before[-1]
    reading.repaired[LOST] += sum(map(len, levels)) - sum(map(len, moved))
    return [word for word, seen in zip(words, is_word, strict=True) if seen], moved


def _fewest(path: Path, columns: Columns | None, reading: Reading) -> Columns | None:
    """Refuse a file with lines but without a column of tags; an empty one is refused later."""
    if any(line.strip() for _, line in read_lines(path, reading.config.encoding, flags=reading.flags)):
        check_tag_columns(path, columns, reading.config, reading.flags)
    return None


def _default_columns(config: AnnotatedFilesConfig) -> Columns:
    """Columns where the contents say nothing: words first, tags last."""
    tags = (-1,) if config.tag_columns is None else config.tag_columns
    return Columns(config.word_column or 0, tags, 0, find_file_scheme(config.scheme or "bio"))


def _levels(
    reading: Reading, block: list[tuple[int, list[str]]], columns: Columns
) -> tuple[tuple[tuple[Span, ...], ...], tuple[int, str] | None]:
    """Entities by level, and the first problem."""
    levels: list[tuple[Span, ...]] = []
    for column in columns.tags:
        cells = [row[column] if -len(row) <= column < len(row) else "O" for _, row in block]
        tags = tags_of_brackets(cells) if columns.brackets else cells
        spans, repaired, problem = read_repaired(tags, columns.scheme)
        if problem is not None:
            return ((),), (block[problem[0]][0], problem[1])
        reading.repaired[REPAIRED] += repaired
        levels.append(tuple(spans))
    return tuple(levels), None
