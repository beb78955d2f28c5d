"""Diverse lists: maximal marginal relevance over item vectors, and at most n items of a category.

MMR (Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025) fills a list greedily: next comes
``argmax λ · relevance(i) − (1 − λ) · max cos(i, j)``, j over the items listed so far; ``diversity`` is ``1 − λ``.
Relevance is the score, scaled to [0, 1] over the user's candidates, for scores and cosines have other units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.retrieval.item_filter import column_values
from recsys_bert.retrieval.ranker import Lists

_CELLS = 1 << 23  # numbers of one chunk's candidate vectors: 32 MB
_POOL = 10  # candidates a listed item


@dataclass(frozen=True)
class Cap:
    """Upper bound on items of one value in a list.

    Args:
        most: Items of one value.
        codes: Values by item row, ``[n_rows, width]``; -1 is none.
    """

    most: int
    codes: NDArray[np.int32]


def caps(dataset: ClickDataset, max_per: dict[str, int] | None) -> list[Cap]:
    """Caps by side column; an item with several values counts for each of them, one without any for none.

    Raises:
        InputError: No such column, or a number under 1.
    """
    for name, most in (max_per or {}).items():
        if most < 1:
            raise InputError(f"max_per of {name} is {most}; at least 1 item of each value has to be allowed.")
    return [Cap(most, _codes(dataset, name)) for name, most in (max_per or {}).items()]


def _codes(dataset: ClickDataset, name: str) -> NDArray[np.int32]:
    values = column_values(dataset, name)
    lengths = values.list.len().to_numpy().astype(np.int64)
    flat = values.explode(empty_as_null=False).rank("dense").to_numpy().astype(np.int32) - 1
    item = np.repeat(np.arange(len(lengths)), lengths)
    codes = np.full((dataset.n_rows, max(1, int(lengths.max(initial=0)))), -1, np.int32)
    position = np.arange(len(item)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes[item + dataset.vocabulary.first_item, position] = flat
    return codes


def diverse_lists(
    search: Callable[[int], Lists],
    items: NDArray[np.float32],
    k: int,
    n_items: int,
    diversity: float,
    limits: list[Cap],
) -> Lists:
    """Lists of ``k`` chosen among the best candidates; more are searched where caps leave lists short.

    Args:
        search: Length → the best by score, of that length.
        items: ``[rows, d]``.
        k: Length of the lists.
        n_items: Items that may be listed; the largest length.
        diversity: In [0, 1): the weight of the redundancy in MMR; 0 keeps the order of the scores.
        limits: Caps by category.
    """
    unit = items / np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
    size = min(max(_POOL * k, 100), n_items)
    while True:
        rows, scores = search(size)
        chunk = max(1, _CELLS // max(size * items.shape[1], 1))
        parts = [
            _picked(rows[start : start + chunk], scores[start : start + chunk], unit, k, diversity, limits)
            for start in range(0, len(rows), chunk)
        ]
        index = np.concatenate(parts) if parts else np.zeros((0, k), np.int64)
        exhausted = size == n_items or (rows[:, -1] < 0).all()
        if exhausted or (index >= 0).all():
            break
        size = min(4 * size, n_items)
    listed = index >= 0
    index = np.maximum(index, 0)
    best_rows, best_scores = (np.take_along_axis(part, index, 1) for part in (rows, scores))
    return np.where(listed, best_rows, -1).astype(np.int32), np.where(listed, best_scores, -np.inf).astype(np.float32)


def _picked(
    rows: NDArray[np.int32],
    scores: NDArray[np.float32],
    unit: NDArray[np.float32],
    k: int,
    diversity: float,
    limits: list[Cap],
) -> NDArray[np.int64]:
    """Positions among the candidates, in the order in which they are listed, ``[n, k]``; -1 after the last."""
    free = rows >= 0
    relevance = (1 - diversity) * _scaled(scores, free)
    vectors = unit[np.maximum(rows, 0)] if diversity else None
    redundancy = np.zeros(rows.shape, np.float32)
    counts = [np.zeros((len(rows), int(cap.codes.max(initial=0)) + 1), np.int32) for cap in limits]
    everyone, picked = np.arange(len(rows)), np.full((len(rows), k), -1, np.int64)
    for rank in range(min(k, rows.shape[1])):
        open_now = free & _below(rows, counts, limits)
        value = np.where(open_now, relevance - diversity * redundancy, -np.inf)
        best = value.argmax(axis=1)
        has_one = open_now[everyone, best]
        picked[:, rank] = np.where(has_one, best, -1)
        free[everyone, best] = False
        for cap, count in zip(limits, counts, strict=True):
            codes = cap.codes[np.maximum(rows[everyone, best], 0)]
            user, column = np.nonzero((codes >= 0) & has_one[:, None])
            np.add.at(count, (user, codes[user, column]), 1)
        if vectors is not None:
            near = np.einsum("npd,nd->np", vectors, vectors[everyone, best])
            redundancy = near if rank == 0 else np.maximum(redundancy, near)
    return picked


def _scaled(scores: NDArray[np.float32], free: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores of each row to [0, 1]."""
    low = np.where(free, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(free, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    width = np.where(high > low, high - low, 1)
    scaled: NDArray[np.float32] = np.where(free, (np.where(free, scores, 0) - np.where(free, low, 0)) / width, 0)
    return scaled


def _below(rows: NDArray[np.int32], counts: list[NDArray[np.int32]], limits: list[Cap]) -> NDArray[np.bool_]:
    """True on candidates none of whose values has its full number of items."""
    below = np.ones(rows.shape, np.bool_)
    for cap, count in zip(limits, counts, strict=True):
        codes = cap.codes[np.maximum(rows, 0)]
        full = count[np.arange(len(rows))[:, None, None], np.maximum(codes, 0)] >= cap.most
        below &= ~(full & (codes >= 0)).any(axis=2)
    return below
