"""Tag schemes: entities written as one tag a unit, and read back strictly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from recsys_bert.errors import unknown_name

OUTSIDE = "O"
EDGE = ""
"""Stands for what is before the first tag of a sentence and after the last one."""


class Entity(NamedTuple):
    """A run of units with a type."""

    start: int
    """First unit, from 0."""

    stop: int
    """One past the last unit."""

    type: str


@dataclass(frozen=True, eq=False)  # told apart by identity, which is what the caches below look up most quickly
class Scheme:
    """Letters of a scheme; where two roles share a letter, neighbouring tags tell them apart."""

    name: str
    begin: str
    inside: str
    end: str
    single: str

    @property
    def letters(self) -> tuple[str, ...]:
        """The different ones, in the order begin, inside, end, single."""
        return tuple(dict.fromkeys((self.begin, self.inside, self.end, self.single)))

    @property
    def closes(self) -> bool:
        """Whether the last unit of an entity has a letter of its own."""
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
    """The scheme of that name.

    Raises:
        InputError: There is none.
    """
    if name not in SCHEMES:
        raise unknown_name("tag scheme", name, SCHEMES)
    return SCHEMES[name]


def read_tags(tags: Sequence[str], scheme: Scheme) -> tuple[list[Entity], tuple[int, str] | None]:
    """Entities of a sentence's tags.

    Returns:
        The entities in order, and the first tag that the scheme does not allow where it is, as its place and why; no
        entities then, for what was meant can only be guessed.
    """
    found: list[Entity] = []
    before, start = EDGE, -1
    for place, tag in enumerate([*tags, EDGE]):
        if problem := _problem(before, tag, scheme):
            return [], (min(place, len(tags) - 1), problem)
        ends, begins = _borders(before, tag, scheme)
        if ends:
            found.append(Entity(start, place, _parts(before)[1]))
        if begins:
            start = place
        before = tag
    return found, None


def write_tags(entities: Sequence[Entity], length: int, scheme: Scheme) -> list[str]:
    """Tags of a sentence of ``length`` units; ``entities`` are in order and do not overlap."""
    tags = [OUTSIDE] * length
    before: Entity | None = None
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
def _problem(left: str, right: str, scheme: Scheme) -> str:
    """Why ``right`` cannot follow ``left``, "" where it can."""
    if right not in (EDGE, OUTSIDE):
        letter, kind = _parts(right)
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
    """Whether a scheme allows two neighbours, either of which may be ``EDGE``."""
    (a, kind), (b, other) = _parts(left), _parts(right)
    same = kind == other
    if scheme.closes:
        is_open, goes_on = a in (scheme.begin, scheme.inside), b in (scheme.inside, scheme.end)
        return is_open == goes_on and (same or not is_open)
    if scheme.name == "iob1":
        return b != "B" or (bool(kind) and same)
    return b != scheme.inside or (bool(kind) and same)


@lru_cache(maxsize=1 << 16)
def _borders(left: str, right: str, scheme: Scheme) -> tuple[bool, bool]:
    """Whether an entity ends between two allowed neighbours, and whether one begins there."""
    (a, kind), (b, other) = _parts(left), _parts(right)
    if scheme.closes:
        return a in (scheme.end, scheme.single), b in (scheme.begin, scheme.single)
    goes_on = bool(kind) and kind == other and b == scheme.inside
    return bool(kind) and not goes_on, bool(other) and not goes_on


def _parts(tag: str) -> tuple[str, str]:
    """Letter and type of a tag; neither for ``O`` and ``EDGE``."""
    if tag in (EDGE, OUTSIDE):
        return "", ""
    letter, _, kind = tag.partition("-")
    return letter, kind
