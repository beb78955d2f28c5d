"""Reciprocal rank fusion (Cormack et al., 2009, https://dl.acm.org/doi/10.1145/1571941.1572114)."""

from collections.abc import Sequence
from typing import Any

RANK_CONSTANT = 60.0
"""The paper's: the larger, the less a first place counts above a tenth."""


def fuse_ranks(
    lists: Sequence[Sequence[Any]], weights: Sequence[float], constant: float = RANK_CONSTANT
) -> list[tuple[Any, float]]:
    """Merge ranked lists by the sum of ``weight / (constant + rank)``, best first.

    Args:
        lists: Ids, best first; a list without an id adds nothing to its score.
        weights: Weight of each list.
        constant: Added to each rank, which counts from 1.

    Returns:
        Ids with their scores; equal scores in the order of first appearance.
    """
    scores: dict[Any, float] = {}
    for ids, weight in zip(lists, weights, strict=True):
        if weight == 0:
            continue
        for rank, one in enumerate(ids, 1):
            scores[one] = scores.get(one, 0.0) + weight / (constant + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
