"""A sentence in units, with its entities on one or several levels."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.tagging.schemes import Entity

_CHINESE = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_WORD = re.compile(rf"[{_CHINESE}]|(?:(?![{_CHINESE}_])\w)+|[^\w\s]|_")  # words as BERT has them
_CHARACTER = re.compile(r"\S")

UNITS = {"words": _WORD, "characters": _CHARACTER}
"""How plain text is cut: into words, punctuation and Chinese characters; or into all of its characters but blanks."""


@dataclass(frozen=True)
class Sentence:
    """Text, its units and what is known of its entities."""

    text: str

    units: NDArray[np.int64]
    """``[units, 2]`` first character of each and one past its last, in order."""

    levels: tuple[tuple[Entity, ...], ...] = ((),)
    """Entities in order, the outermost first; those of one level do not overlap."""

    def __len__(self) -> int:
        return len(self.units)

    @property
    def entities(self) -> list[Entity]:
        """Those of all levels, each once, by place, the longest first."""
        return sorted({entity for level in self.levels for entity in level}, key=_by_place)

    def words(self) -> list[str]:
        """The units' text."""
        return [self.text[start:stop] for start, stop in self.units.tolist()]

    def characters(self, start: int, stop: int) -> tuple[int, int]:
        """Characters that a run of units covers."""
        return int(self.units[start, 0]), int(self.units[stop - 1, 1])


def cut(text: str, units: str) -> Sentence:
    """Cut plain text into units, ``words`` or ``characters``."""
    spans = [match.span() for match in UNITS[units].finditer(text)]
    return Sentence(text, np.array(spans, np.int64).reshape(-1, 2))


def join(words: Sequence[str], word_separator: str) -> Sentence:
    """Make a text of words with ``word_separator`` between them."""
    lengths = np.array([len(word) for word in words])
    starts = np.cumsum(lengths + len(word_separator)) - lengths - len(word_separator)
    return Sentence(word_separator.join(words), np.stack([starts, starts + lengths], axis=1))


def levels_of(entities: Iterable[Entity]) -> tuple[tuple[Entity, ...], ...]:
    """Sort entities into levels: on each, from left to right and long before short, all that do not overlap."""
    left = sorted(set(entities), key=lambda entity: (entity.start - entity.stop, entity))
    levels: list[tuple[Entity, ...]] = []
    while left:
        level: list[Entity] = []
        rest: list[Entity] = []
        for entity in left:
            free = all(entity.stop <= other.start or other.stop <= entity.start for other in level)
            (level if free else rest).append(entity)
        levels.append(tuple(sorted(level)))
        left = rest
    return tuple(levels) or ((),)


def within(sentence: Sentence, start: int, stop: int) -> tuple[int, int] | None:
    """Units that characters ``start … stop`` of the text cover; None where they cut a unit in two, or cover none."""
    starts, stops = sentence.units[:, 0], sentence.units[:, 1]
    first, last = int(np.searchsorted(starts, start)), int(np.searchsorted(stops, stop, side="right"))
    cuts = (first > 0 and stops[first - 1] > start) or (last < len(sentence) and starts[last] < stop)
    return None if cuts or last <= first else (first, last)


def _by_place(entity: Entity) -> tuple[int, int, str]:
    return entity.start, -entity.stop, entity.type
