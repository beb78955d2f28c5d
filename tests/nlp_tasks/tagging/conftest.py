"""Sentences whose entities are a few words."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from nlp_tasks.tagging.schemes import EDGE, Scheme, Span, find_problem
from nlp_tasks.tagging.sentences import Sentence, join_words
from nlp_tasks.tagging.tag_reading import read_repaired

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


@pytest.fixture(scope="session")
def read_tags() -> Callable[..., tuple[list[Span], tuple[int, str] | None]]:
    """Strict reading: the entities, or the position of the first tag that cannot stand there, with the reason."""

    def read(tags: Sequence[str], scheme: Scheme) -> tuple[list[Span], tuple[int, str] | None]:
        for position, (before, tag) in enumerate(pairwise([EDGE, *tags, EDGE])):
            if problem := find_problem(before, tag, scheme):
                return [], (min(position, len(tags) - 1), problem)
        entities, repaired, problem = read_repaired(tags, scheme)
        assert (repaired, problem) == (0, None)
        return entities, None

    return read
