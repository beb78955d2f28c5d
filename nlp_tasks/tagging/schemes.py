"""Tag schemes (IOB1, IOB2, IOBES, BMES, BILOU): entities as one tag per word, decoded strictly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from recsys_bert.errors import unknown_name

OUTSIDE = "O"
EDGE = ""
"""Pseudo tag before the first and after the last tag of a sentence."""


class Span(NamedTuple):
    """Words with an entity type."""

    start: int
    """First word, from 0."""

    stop: int
    """One past the last word."""

    type: str


@dataclass(frozen=True, eq=False)  # compared by identity, which the caches below look up most quickly
class Scheme:
    """Letters of a scheme; where two roles share a letter, the neighbouring tags decide."""

    name: str
    begin: str
    inside: str
    end: str
    single: str

    @property
    def letters(self) -> tuple[str, ...]:
        """Distinct letters in the order begin, inside, end, single."""
        return tuple(dict.fromkeys((self.begin, self.inside, self.end, self.single)))

    @property
    def closes(self) -> bool:
        """True where the last word of an entity has a letter of its own."""
        return self.end != self.inside


SCHEMES = {
    "bio": Scheme("bio", "B", "I", "I", "B"),
    "iob1": Scheme("iob1", "I", "I", "I", "I"),  # B only where an entity follows another one of its type at once
    "iob2": Scheme("iob2", "B", "I", "I", "B"),  # another name of bio
    "iobes": Scheme("iobes", "B", "I", "E", "S"),
    "bmes": Scheme("bmes", "B", "M", "E", "S"),
    "bilou": Scheme("bilou", "B", "I", "L", "U"),
}


def find_scheme(name: str) -> Scheme:
    """Look a scheme up by name.

    Raises:
        InputError: There is none.
    """
    if name not in SCHEMES:
        raise unknown_name("tag scheme", name, SCHEMES)
    return SCHEMES[name]


def write_tags(entities: Sequence[Span], length: int, scheme: Scheme) -> list[str]:
    """Encode entities as tags of a sentence of ``length`` words; they are in order and do not overlap."""
    tags = [OUTSIDE] * length
    before: Span | None = None
    for entity in entities:
        start, stop, kind = entity
        letters = [scheme.begin, *[scheme.inside] * (stop - start - 2), scheme.end]
        letters = [scheme.single] if stop - start == 1 else letters
        if scheme.name == "iob1" and before is not None and (before.stop, before.type) == (start, kind):
            letters[0] = "B"
        tags[start:stop] = [f"{letter}-{kind}" for letter in letters]
        before = entity
    return tags


@lru_cache(maxsize=1 << 16)  # a file has few different pairs
def find_problem(left: str, right: str, scheme: Scheme) -> str:
    """Reason why ``right`` cannot follow ``left``; "" where it can."""
    if right not in (EDGE, OUTSIDE):
        letter, kind = parts(right)
        allowed = {*scheme.letters, "B"}
        if letter not in allowed or not kind:
            return f"{right!r} is no tag of {scheme.name}, as {OUTSIDE} and {', '.join(scheme.letters)} with -TYPE are"
    if may_follow(left, right, scheme):
        return ""
    if left == EDGE:
        return f"{right} cannot begin a sentence in {scheme.name}"
    if right == EDGE:
        return f"{left} cannot end a sentence in {scheme.name}"
    return f"{right} cannot follow {left} in {scheme.name}"


def may_follow(left: str, right: str, scheme: Scheme) -> bool:
    """Validity of two neighbouring tags, either of which may be ``EDGE``."""
    (a, kind), (b, next_kind) = parts(left), parts(right)
    same = kind == next_kind
    if scheme.closes:
        is_open, goes_on = a in (scheme.begin, scheme.inside), b in (scheme.inside, scheme.end)
        return is_open == goes_on and (same or not is_open)
    if scheme.name == "iob1":
        return b != "B" or (bool(kind) and same)
    return b != scheme.inside or (bool(kind) and same)


def parts(tag: str) -> tuple[str, str]:
    """Letter and type of a tag; neither for ``O`` and ``EDGE``."""
    if tag in (EDGE, OUTSIDE):
        return "", ""
    letter, _, kind = tag.partition("-")
    return letter, kind
