"""Entities of sentences: predicted ones with their text, rows of numbers for metrics, and their types."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.normalisation import is_visible
from nlp_tasks.tagging.sentences import Sentence


class Entity(NamedTuple):
    """An entity in a text."""

    text: str
    """``full_text[start:stop]``."""

    type: str
    """Its type."""

    start: int
    """First character."""

    stop: int
    """One past the last character."""

    score: float
    """Probability of exactly this entity, in [0, 1]."""


def entity_rows(sentences: Sequence[Sentence], types: Sequence[str], *, nested: bool = False) -> NDArray[np.int64]:
    """Outermost entities, or all of them, as ``[k, 4]``: sentence, first word, one past the last, type."""
    number = {kind: n for n, kind in enumerate(types)}
    rows = [
        (row, start, stop, number[kind])
        for row, sentence in enumerate(sentences)
        for start, stop, kind in (sentence.entities if nested else sentence.levels[0])
    ]
    return np.array(rows, np.int64).reshape(-1, 4)


def to_entities(
    sentences: Sequence[Sentence], types: Sequence[str], spans: NDArray[np.int64], scores: NDArray[np.float64]
) -> list[list[Entity]]:
    """Entities of each sentence, from ``[k, 4]`` rows as of ``entity_rows`` and their scores ``[k]``."""
    entities: list[list[Entity]] = [[] for _ in sentences]
    for (row, start, stop, kind), score in zip(spans.tolist(), scores.tolist(), strict=True):
        first, last = sentences[row].characters(start, stop)
        if not is_visible(sentences[row].text[first:last]):  # a word of a list may be such a character alone
            continue
        entities[row].append(Entity(sentences[row].text[first:last], types[kind], first, last, score))
    return entities


def types_of(sentences: Sequence[Sentence], *, nested: bool = False) -> list[str]:
    """Sorted types of the outermost entities, or of all of them."""
    return sorted({entity.type for one in sentences for entity in (one.entities if nested else one.levels[0])})


def unseen_types(sentences: Sequence[Sentence], known: Sequence[str], *, nested: bool = False) -> list[str]:
    """Reason why a sentence cannot be evaluated, an entity of unknown type; "" where it can.

    Args:
        sentences: The sentences.
        known: Types of the training sentences.
        nested: Include nested entities.
    """
    known_types = set(known)
    unseen = [next((t for t in types_of([one], nested=nested) if t not in known_types), None) for one in sentences]
    return ["" if kind is None else f"entity type {kind!r} does not occur in training" for kind in unseen]
