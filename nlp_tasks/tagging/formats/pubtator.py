"""PubTator's files of abstracts (BC5CDR, NCBI Disease): ``PMID|t|title``, ``PMID|a|abstract``, then lines of mentions.

Mentions are ``PMID<tab>start<tab>end<tab>text<tab>type<tab>identifier``, in characters of the title, a blank and the
abstract (https://www.ncbi.nlm.nih.gov/CBBresearch/Lu/Demo/PubTator/).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nlp_tasks.lines import read_lines
from nlp_tasks.tagging.formats.brat import Mention, lines_with_mentions
from nlp_tasks.tagging.formats.json_sentences import JSONSentence, with_entities
from nlp_tasks.tagging.formats.reading import Reading

_PART = re.compile(r"(?P<id>[^|\t]+)\|(?P<part>[a-z])\|(?P<text>.*)")


@dataclass
class _Document:
    line: int
    parts: list[str] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    problem: str = ""


def is_pubtator(line: str) -> bool:
    """True for the line of a title."""
    match = _PART.fullmatch(line)
    return match is not None and match["part"] == "t"


def read_pubtator(reading: Reading) -> Iterator[tuple[int, JSONSentence]]:
    """Titles and abstracts, a text each, with the line where their document begins."""
    document: _Document | None = None
    for number, line in read_lines(reading.path, reading.config.encoding, flags=reading.flags):
        if is_pubtator(line):
            if document is not None:
                yield from _texts(document)
            document = _Document(number)
        if not line.strip():
            continue
        if document is None:
            yield number, JSONSentence(problem="no title, PMID|t|…, comes before it")
        else:
            _add(document, number, line, reading)
    if document is not None:
        yield from _texts(document)


def _add(document: _Document, number: int, line: str, reading: Reading) -> None:
    """Add a part of the text, or a mention; relations have four cells."""
    if (match := _PART.fullmatch(line)) is not None:
        document.parts.append(match["text"])
        return
    cells = line.split("\t")
    if len(cells) == 4:
        reading.repaired["relations not read"] += 1
        return
    try:
        start, stop, surface, kind = int(cells[1]), int(cells[2]), cells[3], cells[4].strip()
    except (IndexError, ValueError):
        document.problem = f"line {number} is no mention: PMID<tab>start<tab>end<tab>text<tab>type"
        return
    document.mentions.append((start, stop, kind, surface))


def _texts(document: _Document) -> Iterator[tuple[int, JSONSentence]]:
    text = "\n".join(document.parts)
    if document.problem or any(stop > len(text) for _, stop, _, _ in document.mentions):
        problem = document.problem or "a mention ends behind its text"
        yield document.line, JSONSentence(problem=problem, lost=len(document.mentions))
        return
    for line, mentions in lines_with_mentions(text, sorted(document.mentions)):
        yield document.line, with_entities(line, mentions)
