"""Files of annotated sentences (conll, jsonl, lines), UTF-8; unusable sentences are named by line or counted."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nlp_tasks.examples import count_or_refuse, not_empty
from nlp_tasks.lines import read_lines
from nlp_tasks.rows import json_object
from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig, Granularity, WordSeparator
from nlp_tasks.tagging.data import SAMPLE, AnnotatedSentences
from nlp_tasks.tagging.schemes import SCHEMES, Scheme, Span, find_scheme, read_tags
from nlp_tasks.tagging.sentences import join_words, levels_of, split_words, words_within
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

_DOCUMENT = "-DOCSTART-"  # CoNLL-2003's mark between documents, which looks like a sentence of one word


def read_annotated(
    path: Path, config: AnnotatedFilesConfig, *, entities: bool = True, flags: str = "data"
) -> AnnotatedSentences:
    """Read one file of sentences.

    Args:
        path: The file.
        config: Its format.
        entities: Read entities as well; else tags may be missing and are ignored.
        flags: Prefix of these settings in the command, for messages.

    Raises:
        InputError: It is missing, empty, not UTF-8, or has unusable sentences (see ``bad_rows``).
    """
    path = Path(path)
    kind = _format(path, config, flags)
    bad: list[tuple[int, str]] = []
    if kind == "conll":
        sentences = _read_conll(path, config, entities, bad, flags)
    elif kind == "jsonl":
        sentences = _read_json(path, config, entities, bad)
    elif entities:
        raise InputError(
            f"{path} is read as lines of text, which have no entities. If its lines are words with tags, set "
            f"--{flags}.format conll; else give a conll or jsonl file."
        )
    else:
        texts = [(line, text) for line, text in read_lines(path) if text.strip()]
        sentences = _from_texts(path, texts, config)
    left_out = Counter(sentences.left_out) + count_or_refuse(path, sorted(bad), config.bad_rows, flags)
    sentences = replace(sentences, left_out=dict(left_out), flags=flags, bad_rows=config.bad_rows)
    return not_empty(sentences, "sentence")


def _format(path: Path, config: AnnotatedFilesConfig, flags: str) -> str:
    kind = config.format if config.format != "auto" else FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} belongs to no known format. Set --{flags}.format: conll, "
            "jsonl or lines."
        )
    return kind


Block = list[tuple[int, list[str]]]
"""Lines of one sentence: line number and cells."""


def _blocks(path: Path) -> Iterator[Block]:
    """Sentences of a file of columns, separated by tabs or spaces."""
    block: Block = []
    with Progress(f"reading {path.name}", None, "lines") as progress:
        for number, line in read_lines(path):
            progress.advance()
            if line.strip(" \t"):
                block.append((number, _cells(line)))
            elif block:
                yield block
                block = []
    if block:
        yield block


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip(" ") or cell for cell in line.split("\t")]  # a blank may be a word where all characters are
    return re.split(" +", line.strip(" "))


def _read_conll(
    path: Path, config: AnnotatedFilesConfig, entities: bool, bad: list[tuple[int, str]], flags: str
) -> AnnotatedSentences:
    scheme, marks, width = _scheme(path, config, flags) if entities else None, 0, 0
    rows: list[tuple[int, list[str], tuple[tuple[Span, ...], ...]]] = []
    for block in _blocks(path):
        if len(block) == 1 and block[0][1][0] == _DOCUMENT:
            marks += 1
            continue
        width = width or len(block[0][1])
        problem = _shape(block, width, config, entities)
        if problem is None and scheme is not None:
            levels, problem = _levels(block, config, scheme)
        else:
            levels = ((),)
        if problem is not None:
            bad.append(problem)
            continue
        rows.append((block[0][0], [cells[config.word_column] for _, cells in block], levels))
    granularity, word_separator = _word_format([word for _, words, _ in rows[:SAMPLE] for word in words], config)
    sentences = [
        replace(join_words(words, "" if word_separator == "none" else " "), levels=levels) for _, words, levels in rows
    ]
    left_out = {"mark between documents": marks} if marks else {}
    return AnnotatedSentences(path, [line for line, _, _ in rows], sentences, granularity, word_separator, left_out)


def _word_format(words: Sequence[str], config: AnnotatedFilesConfig) -> tuple[Granularity, WordSeparator]:
    """Granularity and word separator of a conll file: as set, or by its words.

    Chinese text by characters often has years or Latin words in one piece. Its characters are joined all the same, or
    no word of a lexicon or dictionary would match; but plain text is then split into words, each Chinese character one,
    since a year would else be split as nowhere in training.
    """
    single = bool(words) and all(len(word) == 1 for word in words)
    granularity: Granularity = "characters" if single else "words"
    if config.granularity != "auto":
        granularity = config.granularity
    if config.word_separator != "auto":
        return granularity, config.word_separator
    chinese = [word for word in words if mostly_chinese([word])]
    by_characters = mostly_chinese(words) and sum(len(word) == 1 for word in chinese) > 0.9 * len(chinese)
    return granularity, "none" if single or by_characters or config.granularity == "characters" else "space"


def _scheme(path: Path, config: AnnotatedFilesConfig, flags: str) -> Scheme:
    """Tag scheme of the settings.

    Raises:
        InputError: None is set; the message lists the letters at the beginning of the file.
    """
    if config.scheme is not None:
        return find_scheme(config.scheme)
    letters: set[str] = set()
    for block, _ in zip(_blocks(path), range(SAMPLE), strict=False):
        tags = [cells[c] for _, cells in block for c in config.tag_columns if -len(cells) <= c < len(cells)]
        letters |= {tag.partition("-")[0] for tag in tags if "-" in tag}
    fit = [name for name, scheme in SCHEMES.items() if letters <= {*scheme.letters, "B"}]
    raise InputError(
        f"the tag scheme of {path} is not set; its letters are {', '.join(sorted(letters)) or 'none'}, which fits "
        f"{', '.join(fit) or 'no known scheme'}. Set --{flags}.scheme: {', '.join(SCHEMES)}."
    )


def _shape(block: Block, width: int, config: AnnotatedFilesConfig, entities: bool) -> tuple[int, str] | None:
    """First problem with the columns of a sentence: line and reason."""
    columns = (config.word_column, *(config.tag_columns if entities else ()))
    for line, cells in block:
        if entities and len(cells) != width:
            return line, f"{len(cells)} columns where the file begins with {width}"
        if problem := _columns_problem(columns, len(cells)):
            return line, problem
        if not cells[config.word_column]:
            return line, "the word is empty"
    return None


@lru_cache(maxsize=64)  # called for every line
def _columns_problem(columns: tuple[int, ...], width: int) -> str:
    if lacking := [column for column in columns if not -width <= column < width]:
        return f"there is no column {lacking[0]} among {width}"
    if len({column % width for column in columns}) < len(columns):
        return f"columns {', '.join(map(str, columns))} of {width} are not all different"
    return ""


def _levels(
    block: Block, config: AnnotatedFilesConfig, scheme: Scheme
) -> tuple[tuple[tuple[Span, ...], ...], tuple[int, str] | None]:
    levels = []
    for column in config.tag_columns:
        spans, problem = read_tags([cells[column] for _, cells in block], scheme)
        if problem is not None:
            return ((),), (block[problem[0]][0], problem[1])
        levels.append(tuple(spans))
    return tuple(levels), None


def _read_json(
    path: Path, config: AnnotatedFilesConfig, entities: bool, bad: list[tuple[int, str]]
) -> AnnotatedSentences:
    texts: list[tuple[int, str]] = []
    annotations: list[list[tuple[int, int, str]]] = []
    with Progress(f"reading {path.name}", None, "lines") as progress:
        for number, line in read_lines(path):
            progress.advance()
            if not line.strip():
                continue
            text, spans, problem = _json_line(line, config, entities)
            if problem:
                bad.append((number, problem))
            else:
                texts.append((number, text))
                annotations.append(spans)
    read, reasons = _from_texts(path, texts, config), []
    for row, spans in enumerate(annotations):
        sentence, inside = read.sentences[row], []
        for start, stop, kind in spans:
            if words := words_within(sentence, start, stop):
                inside.append(Span(*words, kind))
        cuts = len(inside) < len(spans)
        reasons.append(f"an entity does not begin and end with {read.granularity}" if cuts else "")
        read.sentences[row] = replace(sentence, levels=levels_of(inside))
    bad += [(line, reason) for line, reason in zip(read.lines, reasons, strict=True) if reason]
    return read.take([row for row, reason in enumerate(reasons) if not reason])


def _json_line(line: str, config: AnnotatedFilesConfig, entities: bool) -> tuple[str, list[tuple[int, int, str]], str]:
    """Text, entities in characters, and the problem of one line ("": none)."""
    cells, problem = json_object(line)
    if problem:
        return "", [], problem
    text = cells.get(config.text_key)
    if not isinstance(text, str) or not text.strip():
        return "", [], f"no text under {config.text_key!r}"
    if not entities:
        return text, [], ""
    annotation = cells.get(config.entities_key)
    if not isinstance(annotation, list):
        return "", [], f"no list under {config.entities_key!r}"
    spans = [_json_entity(one) for one in annotation]
    if None in spans:
        return "", [], "an entity is neither {start, end, type} nor [start, end, type]"
    entity_spans = [span for span in spans if span is not None]
    if any(not 0 <= start < stop <= len(text) for start, stop, _ in entity_spans):
        return "", [], "an entity lies outside its text"
    return text, entity_spans, ""


def _json_entity(one: Any) -> tuple[int, int, str] | None:
    values = [one.get(key) for key in ("start", "end", "type")] if isinstance(one, dict) else one
    if not isinstance(values, list) or len(values) != 3:
        return None
    start, stop, kind = values
    numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in (start, stop))
    return (start, stop, kind) if numbers and isinstance(kind, str) and kind else None


def _from_texts(path: Path, texts: Sequence[tuple[int, str]], config: AnnotatedFilesConfig) -> AnnotatedSentences:
    chinese = mostly_chinese(text for _, text in texts[:SAMPLE])
    granularity: Granularity = "characters" if chinese else "words"
    if config.granularity != "auto":
        granularity = config.granularity
    word_separator: WordSeparator = "none" if chinese or granularity == "characters" else "space"
    if config.word_separator != "auto":
        word_separator = config.word_separator
    sentences = [split_words(text, granularity) for _, text in texts]
    return AnnotatedSentences(path, [line for line, _ in texts], sentences, granularity, word_separator)
