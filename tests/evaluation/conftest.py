"""Random lists and targets, small enough for plain loops."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def lists(rng):
    """40 lists of 12 from 60 items (rows 3..62), some short, and 1 to 5 targets each."""
    ranked = np.stack([rng.permutation(np.arange(3, 63))[:12] for _ in range(40)]).astype(np.int32)
    ranked[5, 4:] = -1
    ranked[6] = -1
    sizes = rng.integers(1, 6, size=40)
    query = np.repeat(np.arange(40), sizes)
    rows = np.concatenate([rng.permutation(np.arange(3, 63))[:size] for size in sizes])
    order = rng.permutation(len(query))
    return ranked, (query[order], rows[order])
