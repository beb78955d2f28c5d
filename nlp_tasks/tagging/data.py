"""Annotated sentences from files: UTF-8, every sentence that cannot be used named by line or counted."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nlp_tasks.data import count_or_refuse, json_object, not_empty, read_lines
from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig, Joint, Units
from nlp_tasks.tagging.schemes import SCHEMES, Entity, Scheme, find_scheme, read_tags
from nlp_tasks.tagging.sentences import Sentence, cut, join, levels_of, within
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

_DOCUMENT = "-DOCSTART-"  # CoNLL-2003's mark between documents, which looks like a sentence of one word
_SAMPLE = 2000  # sentences looked at to tell what they are made of


@dataclass(frozen=True)
class Annotated:
    """Sentences in the order of their file."""

    path: Path
    """Where they come from."""

    lines: list[int]
    """First line of each sentence, from 1."""

    sentences: list[Sentence]
    """The sentences; without entities where the file has none."""

    units: Units
    """What they are made of, ``words`` or ``characters``."""

    word_separator: Joint = "blank"
    """What stands between their units, or would between those of a conll file: ``blank`` or ``none``."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Sentences that could not be used, by reason."""

    flags: str = "data"
    """Settings by which the file is read, as a command calls them: for messages."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "Annotated":
        """Some of the sentences."""
        return replace(self, lines=[self.lines[row] for row in rows], sentences=[self.sentences[row] for row in rows])

    def without(self, reasons: Sequence[str], policy: str) -> "Annotated":
        """Leave out the sentences with a reason.

        Args:
            reasons: ``[n]``, "" for a sentence that stays.
            policy: ``raise`` or ``drop``.

        Raises:
            InputError: There is one, and the policy is ``raise``; or nothing stays.
        """
        bad = [(line, reason) for line, reason in zip(self.lines, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_or_refuse(self.path, bad, policy, self.flags)
        kept = self.take([row for row, reason in enumerate(reasons) if not reason])
        return not_empty(replace(kept, left_out=dict(left_out)), "sentence")


def read_annotated(
    path: Path, config: AnnotatedFilesConfig, *, entities: bool = True, flags: str = "data"
) -> Annotated:
    """Read one file.

    Args:
        path: The file.
        config: How it is read.
        entities: Read entities as well; else tags may be missing, and what there is of them is not looked at.
        flags: What the command calls these settings, for messages that name one.

    Raises:
        InputError: It is missing, empty, not UTF-8, or has sentences that cannot be used (see ``bad_rows``).
    """
    path = Path(path)
    kind = _format(path, config, flags)
    bad: list[tuple[int, str]] = []
    if kind == "conll":
        found = _read_conll(path, config, entities, bad, flags)
    elif kind == "jsonl":
        found = _read_json(path, config, entities, bad)
    elif entities:
        raise InputError(
            f"{path} is read as lines of text, which have no entities. If it has a word and its tags a line, say so "
            f"with --{flags}.format conll; else give a conll or jsonl file."
        )
    else:
        texts = [(line, text) for line, text in read_lines(path) if text.strip()]
        found = _from_texts(path, texts, config)
    left_out = Counter(found.left_out) + count_or_refuse(path, sorted(bad), config.bad_rows, flags)
    return not_empty(replace(found, left_out=dict(left_out), flags=flags), "sentence")


def _format(path: Path, config: AnnotatedFilesConfig, flags: str) -> str:
    kind = config.format if config.format != "auto" else FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix!r} does not say how to read it. Name it with "
            f"--{flags}.format: conll, jsonl or lines."
        )
    return kind


Block = list[tuple[int, list[str]]]
"""Lines of one sentence: number and cells."""


def _blocks(path: Path) -> Iterator[Block]:
    """Sentences of a file of columns, separated by tabs or by blanks."""
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
) -> Annotated:
    scheme, marks, width = _scheme(path, config, flags) if entities else None, 0, 0
    kept: list[tuple[int, list[str], tuple[tuple[Entity, ...], ...]]] = []
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
        kept.append((block[0][0], [cells[config.word_column] for _, cells in block], levels))
    units, word_separator = _made_of([word for _, words, _ in kept[:_SAMPLE] for word in words], config)
    sentences = [
        replace(join(words, "" if word_separator == "none" else " "), levels=levels) for _, words, levels in kept
    ]
    left_out = {"mark between documents": marks} if marks else {}
    return Annotated(path, [line for line, _, _ in kept], sentences, units, word_separator, left_out)


def _made_of(words: Sequence[str], config: AnnotatedFilesConfig) -> tuple[Units, Joint]:
    """Units and joint of a conll file: as set, or as its words look.

    Chinese text by characters often has years or Latin words in one piece. Its characters are joined all the same, or
    no word of a lexicon or dictionary would be found; but what plain text is cut into is then words, each Chinese
    character one, for else a year would be cut as it is nowhere in training.
    """
    single = bool(words) and all(len(word) == 1 for word in words)
    units: Units = ("characters" if single else "words") if config.units == "auto" else config.units
    if config.word_separator != "auto":
        return units, config.word_separator
    chinese = [word for word in words if mostly_chinese([word])]
    by_characters = mostly_chinese(words) and sum(len(word) == 1 for word in chinese) > 0.9 * len(chinese)
    return units, "none" if single or by_characters or config.units == "characters" else "blank"


def _scheme(path: Path, config: AnnotatedFilesConfig, flags: str) -> Scheme:
    """The scheme that was named.

    Raises:
        InputError: None was; the message says which letters the file begins with.
    """
    if config.scheme is not None:
        return find_scheme(config.scheme)
    letters: set[str] = set()
    for block, _ in zip(_blocks(path), range(_SAMPLE), strict=False):
        tags = [cells[c] for _, cells in block for c in config.tag_columns if -len(cells) <= c < len(cells)]
        letters |= {tag.partition("-")[0] for tag in tags if "-" in tag}
    fit = [name for name, scheme in SCHEMES.items() if letters <= {*scheme.letters, "B"}]
    raise InputError(
        f"how the tags of {path} are meant is not said; its letters are {', '.join(sorted(letters)) or 'none'}, which "
        f"fits {', '.join(fit) or 'no known scheme'}. Name the scheme with --{flags}.scheme: {', '.join(SCHEMES)}."
    )


def _shape(block: Block, width: int, config: AnnotatedFilesConfig, entities: bool) -> tuple[int, str] | None:
    """What is wrong with the columns of a sentence, and in which line."""
    wanted = (config.word_column, *(config.tag_columns if entities else ()))
    for line, cells in block:
        if entities and len(cells) != width:
            return line, f"{len(cells)} columns where the file begins with {width}"
        if problem := _columns_problem(wanted, len(cells)):
            return line, problem
        if not cells[config.word_column]:
            return line, "the word is empty"
    return None


@lru_cache(maxsize=64)  # asked for every line
def _columns_problem(wanted: tuple[int, ...], width: int) -> str:
    if lacking := [column for column in wanted if not -width <= column < width]:
        return f"there is no column {lacking[0]} among {width}"
    if len({column % width for column in wanted}) < len(wanted):
        return f"columns {', '.join(map(str, wanted))} of {width} are not all different"
    return ""


def _levels(
    block: Block, config: AnnotatedFilesConfig, scheme: Scheme
) -> tuple[tuple[tuple[Entity, ...], ...], tuple[int, str] | None]:
    levels = []
    for column in config.tag_columns:
        found, problem = read_tags([cells[column] for _, cells in block], scheme)
        if problem is not None:
            return ((),), (block[problem[0]][0], problem[1])
        levels.append(tuple(found))
    return tuple(levels), None


def _read_json(path: Path, config: AnnotatedFilesConfig, entities: bool, bad: list[tuple[int, str]]) -> Annotated:
    kept: list[tuple[int, str]] = []
    given: list[list[tuple[int, int, str]]] = []
    with Progress(f"reading {path.name}", None, "lines") as progress:
        for number, line in read_lines(path):
            progress.advance()
            if not line.strip():
                continue
            text, spans, problem = _json_line(line, config, entities)
            if problem:
                bad.append((number, problem))
            else:
                kept.append((number, text))
                given.append(spans)
    found, reasons = _from_texts(path, kept, config), []
    for row, spans in enumerate(given):
        sentence, inside = found.sentences[row], []
        for start, stop, kind in spans:
            if units := within(sentence, start, stop):
                inside.append(Entity(*units, kind))
        cuts = len(inside) < len(spans)
        reasons.append(f"an entity does not begin and end with {found.units}" if cuts else "")
        found.sentences[row] = replace(sentence, levels=levels_of(inside))
    bad += [(line, reason) for line, reason in zip(found.lines, reasons, strict=True) if reason]
    return found.take([row for row, reason in enumerate(reasons) if not reason])


def _json_line(line: str, config: AnnotatedFilesConfig, entities: bool) -> tuple[str, list[tuple[int, int, str]], str]:
    """Text and entities in characters of one line, and what is wrong with it."""
    cells, problem = json_object(line)
    if problem:
        return "", [], problem
    text = cells.get(config.text_key)
    if not isinstance(text, str) or not text.strip():
        return "", [], f"no text under {config.text_key!r}"
    if not entities:
        return text, [], ""
    given = cells.get(config.entities_key)
    if not isinstance(given, list):
        return "", [], f"no list under {config.entities_key!r}"
    spans = [_json_entity(one) for one in given]
    if None in spans:
        return "", [], "an entity is neither {start, end, type} nor [start, end, type]"
    found = [span for span in spans if span is not None]
    if any(not 0 <= start < stop <= len(text) for start, stop, _ in found):
        return "", [], "an entity lies outside its text"
    return text, found, ""


def _json_entity(one: Any) -> tuple[int, int, str] | None:
    values = [one.get(key) for key in ("start", "end", "type")] if isinstance(one, dict) else one
    if not isinstance(values, list) or len(values) != 3:
        return None
    start, stop, kind = values
    numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in (start, stop))
    return (start, stop, kind) if numbers and isinstance(kind, str) and kind else None


def _from_texts(path: Path, texts: Sequence[tuple[int, str]], config: AnnotatedFilesConfig) -> Annotated:
    chinese = mostly_chinese(text for _, text in texts[:_SAMPLE])
    units = ("characters" if chinese else "words") if config.units == "auto" else config.units
    word_separator: Joint = "none" if chinese or units == "characters" else "blank"
    if config.word_separator != "auto":
        word_separator = config.word_separator
    return Annotated(path, [line for line, _ in texts], [cut(text, units) for _, text in texts], units, word_separator)


def types_of(sentences: Sequence[Sentence], *, nested: bool = False) -> list[str]:
    """Types of the outermost entities, or of all of them, by the alphabet."""
    return sorted({entity.type for one in sentences for entity in (one.entities if nested else one.levels[0])})


def unseen_types(sentences: Sequence[Sentence], known: Sequence[str], *, nested: bool = False) -> list[str]:
    """Why a sentence cannot be scored, "" where it can: an entity has a type that training does not know.

    Args:
        sentences: The sentences.
        known: Types that training knows.
        nested: Look at the entities within others as well.
    """
    there = set(known)
    wrong = [next((kind for kind in types_of([one], nested=nested) if kind not in there), None) for one in sentences]
    return ["" if kind is None else f"entity type {kind!r} does not occur in training" for kind in wrong]
