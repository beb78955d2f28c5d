"""Rankers whose item vectors are computed once: for services, which rank again and again with the same weights."""

import copy
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.score_fusion import ScoreFusion


def frozen(ranker: Ranker) -> Ranker:
    """Copy of a ranker that computes ``item_vectors`` at once and gives the same array ever after.

    Training the model behind it goes unnoticed.
    """
    twin = copy.copy(ranker)
    if isinstance(twin, ScoreFusion):
        twin.ranker = frozen(twin.ranker)
    vectors = np.ascontiguousarray(twin.item_vectors(), np.float32)
    twin.item_vectors = _always(vectors)  # type: ignore[method-assign]
    return twin


def _always(vectors: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    return lambda: vectors
