"""TextRank over sentences (https://aclanthology.org/W04-3252): the most central ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Words = Sequence[int] | NDArray[np.integer[Any]]

BLOCK = 2000
"""Sentences ranked against each other; of a longer text, blocks of so many are ranked by themselves, so that memory is
bounded at ``BLOCK²`` numbers."""


def rank(sentences: Sequence[Words], *, damping: float = 0.85, tolerance: float = 1e-6) -> NDArray[np.float64]:
    """Score sentences by the random walk over their similarities.

    Two sentences are as similar as ``shared word types / (log |a| + log |b|)``, lengths in words; a sentence is not
    similar to itself, and sentences of one word, whose log is 0, are not similar to each other.

    Args:
        sentences: Words of each sentence, as numbers.
        damping: Share of a score that comes from similar sentences.
        tolerance: The walk ends when no score moves by more.

    Returns:
        ``[n]``, higher = more central; a block's scores average to 1.
    """
    blocks = [sentences[first : first + BLOCK] for first in range(0, len(sentences), BLOCK)]
    scores = [_walk(_similarities(block), damping, tolerance) for block in blocks]
    return np.concatenate([np.empty(0), *scores])


def _similarities(sentences: Sequence[Words]) -> NDArray[np.float64]:
    """``[n, n]``, symmetric, 0 on the diagonal."""
    types = [np.unique(np.asarray(words, np.int64)) for words in sentences]
    _, column = np.unique(np.concatenate([np.empty(0, np.int64), *types]), return_inverse=True)
    row = np.repeat(np.arange(len(types)), [len(words) for words in types])
    has = sparse.csr_array((np.ones(len(row)), (row, column.reshape(-1))), shape=(len(types), max(1, len(row))))
    logs = np.log(np.maximum([len(words) for words in sentences], 1))
    scale = logs[:, None] + logs
    shared = (has @ has.T).toarray()
    similar = np.divide(shared, scale, out=np.zeros_like(shared), where=scale > 0)
    np.fill_diagonal(similar, 0.0)
    return similar


def _walk(similar: NDArray[np.float64], damping: float, tolerance: float) -> NDArray[np.float64]:
    """``s = 1 − d + d · Σ_j s_j w_ji / Σ_k w_jk``; sentences without a neighbour keep ``1 − d``."""
    total = similar.sum(axis=1, keepdims=True)
    steps = np.divide(similar, total, out=np.zeros_like(similar), where=total > 0)
    scores = np.ones(len(similar))
    for _ in range(200):  # the walk shrinks differences by the damping: 0.85^200 is 1e-14
        new = 1 - damping + damping * (scores @ steps)
        if np.abs(new - scores).max(initial=0.0) < tolerance:
            return new
        scores = new
    return scores
