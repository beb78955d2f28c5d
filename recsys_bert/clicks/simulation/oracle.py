"""Oracle: exact probabilities of the next click, and the best possible recall and AUC that follow from them.

The oracle knows the world's settings, a user's age group and earlier clicks, all of which are in the log's own
tables; it knows nothing hidden. By default it does not know whether the next click begins a session.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.simulation.process import Longs
from recsys_bert.clicks.simulation.world import BASE, EXPLORE, INTEREST, SIBLING, STAY, SUCCESSOR, Floats, Ints, World

_CHUNK_NUMBERS = 4_000_000  # probabilities held at once, over users and items


def next_item_probabilities(
    world: World, past: Ints, lengths: Longs, group: Ints, begins: NDArray[np.bool_] | None = None
) -> Floats:
    """Probability of each item as the next click.

    Args:
        world: World of the log.
        past: ``[n, longest]`` item indices, oldest first, padding on the right.
        lengths: ``[n]`` clicks of each row.
        group: ``[n]`` age groups.
        begins: ``[n]`` whether the next click begins a session; None if unknown.

    Returns:
        ``[n, items]``; rows sum to 1, and items clicked before have 0.
    """
    kinds = [_normalised(world, past, lengths, group, share) for share in (0, 1)] if past.shape[1] else None
    if kinds is None or not lengths.any():
        return _normalised(world, past, lengths, group, 1)
    begin = np.full(lengths.size, world.config.new_session) if begins is None else begins.astype(np.float64)
    begin = np.where(lengths == 0, 1.0, begin)[:, None]  # the first click always does
    return (1.0 - begin) * kinds[0] + begin * kinds[1]


def _normalised(world: World, past: Ints, lengths: Longs, group: Ints, share: int) -> Floats:
    shares, rows = world.shares[share], np.arange(lengths.size)
    mask = np.arange(past.shape[1]) < lengths[:, None]
    some = np.flatnonzero(lengths > 0)
    last = past[some, lengths[some] - 1]
    leaves: Floats = (1.0 - shares[EXPLORE]) * world.likes[group]  # a first click
    leaves[some] = shares[BASE] * world.likes[group[some]]
    leaves[some] += shares[INTEREST] * _profile(world, past, lengths, world.leaf, world.n_leaves, "leaf")[some]
    leaves[some, world.leaf[last]] += shares[STAY]
    leaves[some] += shares[SIBLING] * _siblings(world)[world.leaf[last]]
    styles = np.full((rows.size, world.config.styles), 1.0 / world.config.styles)
    taste = _profile(world, past, lengths, world.style, world.config.styles, "style")[some]
    styles[some] = world.config.style_noise * styles[some] + (1.0 - world.config.style_noise) * taste
    weights = leaves[:, world.leaf] * styles[:, world.style] * world.within + shares[EXPLORE] * world.popularity
    weights[some, world.successor[last]] += shares[SUCCESSOR]
    row, index = np.nonzero(mask)
    weights[row, past[row, index]] = 0.0
    return weights / weights.sum(1, keepdims=True)


def recency(lengths: Longs, longest: int, memory: float) -> Floats:
    """Weight of each past click in the user's interests; ``[n, longest]``, rows with clicks sum to 1."""
    lag = lengths[:, None] - 1 - np.arange(longest)
    weights = np.where(lag >= 0, memory ** np.maximum(lag, 0), 0.0)
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-300)


def _profile(world: World, past: Ints, lengths: Longs, label: Ints, n_labels: int, memory: str) -> Floats:
    weights = recency(lengths, past.shape[1], getattr(world.config, f"{memory}_memory"))
    rows = np.arange(lengths.size)[:, None] * n_labels
    flat = np.bincount((rows + label[past]).ravel(), weights=weights.ravel(), minlength=lengths.size * n_labels)
    return flat.reshape(lengths.size, n_labels).astype(np.float64, copy=False)  # bincount gives integers for no rows


def _siblings(world: World) -> Floats:
    """``[leaves, leaves]``: probabilities of the leaves beside each; an only child stays."""
    n, width = world.n_leaves, world.config.leaves
    if width == 1:
        return np.eye(n, dtype=np.float64)
    top = np.arange(n) // width
    siblings = (top[:, None] == top) & ~np.eye(n, dtype=bool)
    return siblings.astype(np.float64) / (width - 1)


def chunks(n: int, items: int) -> Iterator[slice]:
    """Split ``n`` rows so that a ``[rows, items]`` table stays small."""
    size = max(1, _CHUNK_NUMBERS // items)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def best_items(
    world: World, past: Ints, lengths: Longs, group: Ints, k: int, weights: Floats | None = None
) -> tuple[Ints, Floats]:
    """Top ``k`` next items of each row and their probabilities, most probable first; both ``[n, k]``.

    Args:
        world: World of the log.
        past: ``[n, longest]`` item indices.
        lengths: ``[n]`` clicks of each row.
        group: ``[n]`` age groups.
        k: Number of items.
        weights: ``[items]`` probability that a click on an item is of the type that is asked for, which is then known
            to come next; None: any click.
    """
    top, top_probabilities = np.empty((lengths.size, k), np.int32), np.empty((lengths.size, k))
    for part in chunks(lengths.size, world.config.items):
        probabilities = next_item_probabilities(world, past[part], lengths[part], group[part])
        if weights is not None:
            probabilities = probabilities * weights
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        best = np.argpartition(-probabilities, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(probabilities, best, 1)
        order = np.lexsort((best, -values))
        top[part] = np.take_along_axis(best, order, 1)
        top_probabilities[part] = np.take_along_axis(values, order, 1)
    return top, top_probabilities


def best_auc(probability: Floats) -> float:
    """Expected AUC of ranking impressions by their true label probabilities, over all draws of the labels.

    It is P(p_i > p_j) + P(p_i = p_j) / 2 for a positive i and a negative j; the AUC on a
    finite log's labels differs from it by chance. 0.5 without impressions.
    """
    if not probability.size:
        return 0.5
    values, group = np.unique(probability, return_inverse=True)
    positive = np.bincount(group, weights=probability, minlength=values.size)
    negative = np.bincount(group, weights=1.0 - probability, minlength=values.size)
    below = np.cumsum(negative) - negative / 2.0
    return float((positive * below).sum() / (positive.sum() * negative.sum()))
