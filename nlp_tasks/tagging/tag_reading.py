"""Tags as they come in published files: their scheme recognised, invalid ones repaired as conlleval reads them.

conlleval (https://www.clips.uantwerpen.be/conll2003/ner/bin/conlleval) and seqeval without ``strict`` read an entity in
every sequence of tags, so that their figures can be compared with ours.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from nlp_tasks.tagging.schemes import EDGE, OUTSIDE, SCHEMES, Scheme, Span, find_problem, parts
from recsys_bert.errors import InputError, unknown_name

NO_TYPE = "entity"
"""Type of tags without one: B, I and O alone."""

FILE_SCHEMES = {**SCHEMES, "io": Scheme("io", "I", "I", "I", "I")}
"""Schemes of files; in ``io`` tags are types alone, and words of one type in a row are one entity."""

_ROLES = {"M": "I", "L": "E", "U": "S"}  # letters that conlleval knows by another name
_LETTERS = {letter for scheme in SCHEMES.values() for letter in (*scheme.letters, "B") if letter}
_TAG = re.compile(rf"[{''.join(sorted(_LETTERS))}](-\S+)?")
_BRACKET = re.compile(r"\((?P<opens>[^()*\s]+)\*?(?P<closes>\)?)|\*(?P<ends>\)?)")


def is_tag(cell: str) -> bool:
    """True for ``O`` and for a letter of a scheme, with or without ``-TYPE``."""
    return cell == OUTSIDE or _TAG.fullmatch(cell) is not None


def recognise_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Scheme whose letters are those of the tags; of B and I alone, ``iob1`` where B only parts neighbours of one type.

    Raises:
        InputError: The letters are of no scheme.
    """
    letters: set[str] = set()
    parting, beginning, inside_first = 0, 0, 0
    for tags in sentences:
        for before, tag in pairwise((EDGE, *map(with_type, tags))):
            letter, kind = parts(tag)
            if not letter:
                continue
            letters.add(letter)
            goes_on = kind == parts(before)[1]
            parting += letter == "B" and goes_on
            beginning += letter == "B"
            inside_first += letter == "I" and not goes_on
    if letters <= {"B", "I"}:
        return SCHEMES["iob1" if inside_first and parting == beginning else "bio"]
    for scheme in SCHEMES.values():
        if letters <= {*scheme.letters, "B"}:
            return scheme
    raise InputError(f"the letters of the tags are {', '.join(sorted(letters))}, which no scheme has together.")


def find_file_scheme(name: str) -> Scheme:
    """Look a scheme of files up by name.

    Raises:
        InputError: There is none.
    """
    if name not in FILE_SCHEMES:
        raise unknown_name("tag scheme", name, FILE_SCHEMES)
    return FILE_SCHEMES[name]


def with_type(tag: str) -> str:
    """Tag of a type: that of ``B`` alone is ``entity``."""
    return f"{tag}-{NO_TYPE}" if tag in _LETTERS else tag


def read_repaired(tags: Sequence[str], scheme: Scheme) -> tuple[list[Span], int, tuple[int, str] | None]:
    """Decode a sentence's tags as conlleval does.

    Args:
        tags: The tags, types included.
        scheme: Its letters are allowed.

    Returns:
        The entities in order; the number of tags that the scheme forbids where they stand; and the position of the
        first that is no tag of it at all, with the reason (None: there is none), in which case there are no entities.
    """
    entities: list[Span] = []
    start, repaired = -1, set[int]()
    tags = [f"I-{tag}" if scheme.name == "io" and tag != OUTSIDE else with_type(tag) for tag in tags]
    for position, (before, tag) in enumerate(pairwise((EDGE, *tags, EDGE))):
        problem = find_problem(before, tag, scheme)
        if problem and tag not in (EDGE, OUTSIDE) and parts(tag)[0] not in {*scheme.letters, "B"}:
            return [], 0, (position, problem)
        if problem:  # that an entity is not finished is the fault of its last tag
            repaired.add(position - (tag in (EDGE, OUTSIDE)))
        ends, begins = _borders(before, tag)
        if ends:
            entities.append(Span(start, position, parts(before)[1]))
        if begins:
            start = position
    return entities, len(repaired), None


@lru_cache(maxsize=1 << 16)  # a file has few different pairs
def _borders(before: str, tag: str) -> tuple[bool, bool]:
    """Entity ends, and entity begins, between two tags."""
    (a, kind), (b, next_kind) = parts(before), parts(tag)
    a, b = _ROLES.get(a, a), _ROLES.get(b, b)
    changes = kind != next_kind
    ends = bool(a) and (a in "ES" or b in ("B", "S", "") or changes)
    begins = bool(b) and (b in "BS" or a in ("E", "S", "") or changes)
    return ends, begins


def is_bracket(cell: str) -> bool:
    """True for a cell of the entity column of CoNLL-2012: ``*``, ``(PERSON*``, ``*)``, ``(GPE)``."""
    return _BRACKET.fullmatch(cell) is not None


def tags_of_brackets(cells: Sequence[str]) -> list[str]:
    """Tags in the scheme ``bio`` of the entity column of CoNLL-2012."""
    tags, kind, first = [], "", False
    for cell in cells:
        match = _BRACKET.fullmatch(cell)
        if match is None:
            tags.append(cell)
            continue
        if match["opens"]:
            kind, first = match["opens"], True
        tags.append(f"{'B' if first else 'I'}-{kind}" if kind else OUTSIDE)
        first = False
        if match["closes"] or match["ends"]:
            kind = ""
    return tags
