"""Sentences whose entities are a few words."""

from collections.abc import Callable

import numpy as np
import pytest

from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import Sentence, join_words

NAMES = {"LOC": "bonn oslo rome", "PER": "ada bob carl", "ORG": "bank firm club"}
FILLER = ["the", "a", "of", "and", "to", "in", "on", "with", "for", "by"]
TYPES = sorted(NAMES)


def marked_sentences(n: int, seed: int = 0) -> list[Sentence]:
    """Sentences of 6 to 10 words of filler, with two entities of one or two words of one type."""
    from dataclasses import replace

    random = np.random.default_rng(seed)
    sentences = []
    for _ in range(n):
        words: list[str] = []
        entities = []
        for _ in range(2):
            words += random.choice(FILLER, int(random.integers(2, 5))).tolist()
            kind, length = str(random.choice(TYPES)), int(random.integers(1, 3))
            entities.append(Span(len(words), len(words) + length, kind))
            words += random.choice(NAMES[kind].split(), length).tolist()
        words += random.choice(FILLER, 2).tolist()
        sentences.append(replace(join_words(words, " "), levels=(tuple(entities),)))
    return sentences


@pytest.fixture
def marked() -> Callable[..., list[Sentence]]:
    return marked_sentences


@pytest.fixture
def types() -> list[str]:
    return list(TYPES)
