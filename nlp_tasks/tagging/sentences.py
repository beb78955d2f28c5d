"""A sentence in words, with its entities on one or several levels.

A word is what carries a tag: a word of the text, or a character where text is not cut into words.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.normalisation import word_spans
from nlp_tasks.tagging.schemes import Span


@dataclass(frozen=True)
class Sentence:
    """Text, its words and its entities."""

    text: str

    offsets: NDArray[np.int64]
    """``[words, 2]``: first character of each and one past its last, in order."""

    levels: tuple[tuple[Span, ...], ...] = ((),)
    """Entities in order, the outermost first; those of one level do not overlap."""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def entities(self) -> list[Span]:
        """Entities of all levels, each once, by position, the longest first."""
        return sorted({entity for level in self.levels for entity in level}, key=_by_position)

    def words(self) -> list[str]:
        """Text of every word."""
        return [self.text[start:stop] for start, stop in self.offsets.tolist()]

    def characters(self, start: int, stop: int) -> tuple[int, int]:
        """Map words ``start … stop`` to the characters that they cover."""
        return int(self.offsets[start, 0]), int(self.offsets[stop - 1, 1])


def split_words(text: str, granularity: str) -> Sentence:
    """Split plain text into words or characters; see ``word_spans``."""
    return Sentence(text, np.array(word_spans(text, granularity), np.int64).reshape(-1, 2))


def join_words(words: Sequence[str], word_separator: str) -> Sentence:
    """Join words with ``word_separator`` between them."""
    lengths = np.array([len(word) for word in words])
    starts = np.cumsum(lengths + len(word_separator)) - lengths - len(word_separator)
    return Sentence(word_separator.join(words), np.stack([starts, starts + lengths], axis=1))


def sentences_as_read(sentences: Sequence[Sentence], as_read: Callable[[str], str]) -> list[Sentence]:
    """Sentences in the characters that the tokenizer reads, each at its position; see ``Tokenizer.as_read``."""
    return [replace(sentence, text=as_read(sentence.text)) for sentence in sentences]


def levels_of(entities: Iterable[Span]) -> tuple[tuple[Span, ...], ...]:
    """Sort entities into levels without overlaps, long ones first."""
    remaining = sorted(set(entities), key=lambda entity: (entity.start - entity.stop, entity))
    levels: list[tuple[Span, ...]] = []
    while remaining:
        level: list[Span] = []
        overlapping: list[Span] = []
        for entity in remaining:
            free = all(entity.stop <= other.start or other.stop <= entity.start for other in level)
            (level if free else overlapping).append(entity)
        levels.append(tuple(sorted(level)))
        remaining = overlapping
    return tuple(levels) or ((),)


def words_within(sentence: Sentence, start: int, stop: int) -> tuple[int, int] | None:
    """Map characters ``start … stop`` to words; None where they cut a word in two, or cover none."""
    starts, stops = sentence.offsets[:, 0], sentence.offsets[:, 1]
    first, last = int(np.searchsorted(starts, start)), int(np.searchsorted(stops, stop, side="right"))
    cuts = (first > 0 and stops[first - 1] > start) or (last < len(sentence) and starts[last] < stop)
    return None if cuts or last <= first else (first, last)


def _by_position(entity: Span) -> tuple[int, int, str]:
    return entity.start, -entity.stop, entity.type
