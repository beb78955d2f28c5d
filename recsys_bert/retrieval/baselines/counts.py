"""Counts over training events."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.training_events import TrainingEvents

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]

_PAIRS = 1 << 25  # counted at a time: some 2 GB


def by_popularity(popularity: NDArray[np.float64], first_item: int) -> Ints:
    """Rows from ``first_item`` on, the most popular first, the lower row first between equals."""
    return np.argsort(-popularity[first_item:], kind="stable") + first_item


def only_items(matrix: sparse.csr_array, first_item: int) -> sparse.csr_array:
    """Drop the columns of special rows, which nothing may recommend, and zeros."""
    is_item = np.arange(matrix.shape[1]) >= first_item
    items = (matrix @ sparse.diags_array(is_item.astype(matrix.dtype))).tocsr()
    items.eliminate_zeros()
    return items


def soon_after(events: TrainingEvents, size: int, first_item: int, window: int, most: int = 0) -> sparse.csr_array:
    """Co-occurrence counts of rows at most ``window`` events after another row, ``[size, size]``.

    A pair ``gap`` events apart counts 1 / gap of what its later event weighs. Rows are counted some at a time, so that
    memory is bounded where few followers are kept of each.

    Args:
        events: In training.
        size: Rows of the catalogue.
        first_item: Rows below it follow nothing.
        window: Largest gap.
        most: Followers kept of every row, the most counted ones; 0 keeps all.
    """
    pairs = np.bincount(events.items, minlength=size)[:size].cumsum() * window
    block = pairs // _PAIRS if most else np.zeros(size, np.int64)
    borders = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), size]
    parts = []
    for low, high in pairwise(borders):
        counts = sparse.csr_array((high - low, size))
        for gap in range(1, window + 1):
            counts = counts + follows(events, size, first_item, gap, (low, high)) / gap
        parts.append(_largest(counts, most) if most else counts)
    return sparse.vstack(parts, format="csr")


def _largest(counts: sparse.csr_array, most: int) -> sparse.csr_array:
    """Keep the ``most`` largest entries of every row; between equals the lower column stays."""
    lengths = np.diff(counts.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((counts.indices, -counts.data, row))
    largest = np.sort(order[np.arange(len(order)) - np.repeat(counts.indptr[:-1], lengths) < most])
    return sparse.csr_array((counts.data[largest], (row[largest], counts.indices[largest])), shape=counts.shape)


def follows(
    events: TrainingEvents, size: int, first_item: int, gap: int, rows: tuple[int, int] | None = None
) -> sparse.csr_array:
    """Counts of rows ``gap`` events after another row, by weight of the later event.

    Args:
        events: In training.
        size: Rows of the catalogue.
        first_item: Rows below it follow nothing.
        gap: Events from one to the other.
        rows: First row and end of those that are followed; None takes all.

    Returns:
        ``[rows, size]``.
    """
    low, high = rows or (0, size)
    counted = events.users[gap:] == events.users[:-gap]
    if rows is not None:
        counted &= (events.items[:-gap] >= low) & (events.items[:-gap] < high)
    before, after = events.items[:-gap][counted] - low, events.items[gap:][counted]
    counts = sparse.csr_array((events.weights[gap:][counted], (before, after)), shape=(high - low, size))
    return only_items(counts, first_item)
