"""Sequences whose rows stand in groups, and what is nearest to what in a table of vectors."""

import numpy as np
import pytest

from recsys_bert.static_embeddings.sequences import Sequences

GROUPS, EACH, FILLER = 6, 5, 4


@pytest.fixture(scope="session")
def planted():
    """600 sequences of ten rows: seven of one group of five, three of four rows that stand everywhere."""
    random = np.random.default_rng(0)
    parts = []
    for group in random.integers(GROUPS, size=600):
        own = random.integers(EACH, size=7) + group * EACH
        parts.append(random.permutation([*own, *random.integers(FILLER, size=3) + GROUPS * EACH]))
    rows = np.concatenate(parts).astype(np.int32)
    return Sequences(rows, np.arange(0, len(rows) + 1, 10), GROUPS * EACH + FILLER)


@pytest.fixture(scope="session")
def in_group():
    """Share of the four rows nearest to each, by cosine, that are of its group: .12 by chance."""

    def share(vectors):
        table = vectors[: GROUPS * EACH] / np.linalg.norm(vectors[: GROUPS * EACH], axis=1, keepdims=True)
        cosine = table @ table.T
        np.fill_diagonal(cosine, -2)
        nearest = np.argsort(-cosine, axis=1)[:, : EACH - 1]
        return np.mean(nearest // EACH == np.arange(len(table))[:, None] // EACH)

    return share
