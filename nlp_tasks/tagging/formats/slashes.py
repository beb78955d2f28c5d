"""Sentences of ``word/tag`` in a line each, as the SIGHAN bakeoffs' NER of MSRA: ``当/o 中国/ns 的/o``."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

from nlp_tasks.lines import read_lines
from nlp_tasks.tagging.data import SAMPLE
from nlp_tasks.tagging.formats.json_sentences import JSONSentence
from nlp_tasks.tagging.formats.reading import Reading
from nlp_tasks.tagging.schemes import OUTSIDE
from nlp_tasks.tagging.tag_reading import is_tag
from nlp_tasks.tokenization import mostly_chinese

_PAIR = re.compile(r"(?P<word>.+)/(?P<tag>[A-Za-z][\w.-]*)")
_BLANKS = re.compile("[ \t]+")  # an ideographic space is a word of such files
_MOST_TAGS = 100

Words = list[tuple[str, str]]
"""Words and tags of a line."""


def recognise_slashes(reading: Reading) -> Counter[str]:
    """Count the tags of a file whose first lines are nearly all ``word/tag``; empty for another file."""
    lines = islice(read_lines(reading.path, reading.config.encoding, flags=reading.flags), SAMPLE)
    words = [word for _, line in lines for word in _BLANKS.split(line.strip(" \t")) if word]
    tags = Counter(match["tag"] for word in words if (match := _PAIR.fullmatch(word)))
    regular = bool(words) and tags.total() >= 0.98 * len(words) and len(tags) <= _MOST_TAGS
    return tags if regular else Counter()


def read_slashes(reading: Reading) -> Iterator[tuple[int, JSONSentence]]:
    """Sentences with their line: a word is an entity of its own, unless the tags are of a scheme, as ``Ada/B-PER``."""
    rows: list[tuple[int, Words, str]] = []
    for number, line in read_lines(reading.path, reading.config.encoding, flags=reading.flags):
        if line.strip():
            rows.append((number, *_pairs(line)))
    tags = {tag for _, words, _ in rows for _, tag in words}
    of_scheme = reading.config.scheme is not None or (bool(tags) and all(map(is_tag, tags)))
    separator = _separator(reading, rows)
    for number, words, problem in rows:
        if problem:
            yield number, JSONSentence(problem=problem, lost=sum(tag.upper() != OUTSIDE for _, tag in words))
        elif of_scheme:
            yield number, JSONSentence(words=[word for word, _ in words], tags=[[tag for _, tag in words]])
        else:
            yield number, _of_entities(words, separator)


def _pairs(line: str) -> tuple[Words, str]:
    """Words of a line, and what is wrong with it ("": nothing)."""
    matches = [(word, _PAIR.fullmatch(word)) for word in _BLANKS.split(line.strip(" \t"))]
    bad = next((word for word, match in matches if match is None), None)
    words = [(match["word"], match["tag"]) for _, match in matches if match is not None]
    return words, "" if bad is None else f"{bad[:40]!r} is not word/tag"


def _separator(reading: Reading, rows: Sequence[tuple[int, Words, str]]) -> str:
    if reading.config.word_separator != "auto":
        return " " if reading.config.word_separator == "space" else ""
    return "" if mostly_chinese(word for _, words, _ in rows[:SAMPLE] for word, _ in words) else " "


def _of_entities(words: Words, separator: str) -> JSONSentence:
    starts = accumulate((len(word) + len(separator) for word, _ in words), initial=0)
    spans = [
        (start, start + len(word), tag)
        for start, (word, tag) in zip(starts, words, strict=False)
        if tag.upper() != OUTSIDE
    ]
    return JSONSentence(separator.join(word for word, _ in words), entities=spans)
