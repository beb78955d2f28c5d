"""From scored (query, row) pairs to lists of k rows; no array over all users and all items is ever made."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]

_QUERIES = 1024
_CELLS = 1 << 22  # of one dense array: 32 MB
_DAY = 86_400
_DENSE = 4  # scores are dense from one stored number in this many on


def rank_in_chunks(
    queries: Queries,
    k: int,
    order: Ints,
    exclude_seen: bool,
    score: Callable[[Queries], sparse.csr_array],
    label: str,
) -> Rows:
    """Rank what ``score`` gives, then fill up with the most popular items.

    Args:
        queries: Who is asked about.
        k: Length of the lists.
        order: All items that may be recommended, the most popular first; also decides between equal scores.
        exclude_seen: Leave out the items of each input.
        score: Scores ``[len(part), rows]`` of some queries; what is not stored has none.
        label: Shown while it takes long.

    Returns:
        Rows ``[n, k]``, best first, -1 where a query has fewer unseen items.

    Raises:
        InputError: ``k`` is larger than the catalogue.
    """
    check_k(k, len(order))
    ranked = np.full((len(queries), k), -1, np.int32)
    place = np.full(int(order.max()) + 1, len(order), np.int64)
    place[order] = np.arange(len(order))
    with Progress(label, len(queries), "users") as progress:
        for start in range(0, len(queries), _QUERIES):
            part = queries[slice(start, start + _QUERIES)]
            seen = part.seen() if exclude_seen else (np.empty(0, np.int64), np.empty(0, np.int32))
            best = top_k(score(part), place, seen, k)
            ranked[start : start + len(part)] = fill(best, order, seen)
            progress.advance(len(part))
    return ranked


def rank_by_day(queries: Queries, k: int, end: int, order: Callable[[int], Ints], exclude_seen: bool) -> Rows:
    """Rank by one order a day: that before the start of each query's day (UTC), or before ``end`` for later queries.

    Args:
        queries: Who is asked about.
        k: Length of the lists.
        end: First timestamp after training.
        order: Timestamp, in unix seconds, → all items, best first; called with ascending ones.
        exclude_seen: Leave out the items of each input.
    """
    timestamps = np.where(queries.times >= end, end, queries.times // _DAY * _DAY)
    ranked = np.full((len(queries), k), -1, np.int32)
    for timestamp in np.unique(timestamps):
        at = np.flatnonzero(timestamps == timestamp)
        part = queries[at]
        seen = part.seen() if exclude_seen else (np.empty(0, np.int64), np.empty(0, np.int32))
        ranked[at] = fill(np.full((len(at), k), -1, np.int32), order(int(timestamp)), seen)
    return ranked


def check_k(k: int, n_items: int) -> None:
    """Refuse lists that no catalogue can fill.

    Raises:
        InputError: ``k`` is under 1 or over ``n_items``.
    """
    if not 1 <= k <= n_items:
        raise InputError(f"k is {k}; the catalogue has {n_items} items. Choose k from 1 to {n_items}.")


def top_k(scores: sparse.csr_array, place: Ints, seen: tuple[Ints, Rows], k: int) -> Rows:
    """Best k unseen rows of each query.

    Args:
        scores: ``[n, rows]``; what is not stored is not listed.
        place: The row with the lower ``place[row]`` goes first between equal scores.
        seen: (query index, row) pairs, sorted, that are left out.
        k: Length of the lists.

    Returns:
        ``[n, k]``, -1 after the last.
    """
    entries = _without_hopeless(scores, seen, k).tocoo()
    query, row = entries.row.astype(np.int64), entries.col.astype(np.int64)
    values, rank = np.unique(-entries.data, return_inverse=True)
    # one sort of whole numbers (query, then score, then place) is several times faster than lexsort on the three
    order = np.argsort((query * len(values) + rank) * (int(place.max()) + 1) + place[row])
    query, row = query[order], row[order]
    near = _position(query) < k + np.bincount(seen[0], minlength=scores.shape[0])[query]  # no other can get in
    query, row = query[near], row[near]
    new = ~_in_sorted(_keys(*seen), _keys(query, row))
    query, row = query[new], row[new]
    position = _position(query)
    ranked = np.full((scores.shape[0], k), -1, np.int32)
    inside = position < k
    ranked[query[inside], position[inside]] = row[inside]
    return ranked


def _without_hopeless(scores: sparse.csr_array, seen: tuple[Ints, Rows], k: int) -> sparse.csr_array:
    """Drop most of what cannot reach the first k, where scores are dense enough for that to be quicker than sorting."""
    n, size = scores.shape
    if scores.nnz * _DENSE < n * size or k >= size:
        return scores
    parts, block = [], max(1, _CELLS // size)
    for start in range(0, n, block):
        cells = scores[start : start + block].toarray()
        low, high = np.searchsorted(seen[0], [start, start + block])
        inside = seen[1][low:high] < size
        cells[seen[0][low:high][inside] - start, seen[1][low:high][inside]] = 0
        border = np.partition(cells, size - k, axis=1)[:, size - k, None]
        cells[cells < border] = 0
        parts.append(sparse.csr_array(cells))
    return sparse.vstack(parts, format="csr")


def _position(query: Ints) -> Ints:
    """Number of entries of the same query before each entry of a sorted array."""
    lengths = np.bincount(query)
    position: Ints = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return position


def fill(ranked: Rows, order: Ints, seen: tuple[Ints, Rows]) -> Rows:
    """Put the first items of ``order`` that are neither listed nor seen behind the end of each list.

    Args:
        ranked: ``[n, k]``, -1 after the last.
        order: Rows, best first.
        seen: (query index, row) pairs that never come.

    Returns:
        ``[n, k]``, -1 only where ``order`` runs out.
    """
    filled = ranked.copy()
    listed = np.nonzero(ranked >= 0)
    query = np.concatenate([seen[0], listed[0]])
    excluded = np.sort(_keys(query, np.concatenate([seen[1], ranked[listed]])), kind="stable")
    short, width = np.flatnonzero((ranked < 0).any(1)), 2 * ranked.shape[1]
    while len(short):
        rest = []
        for start in range(0, len(short), max(1, _CELLS // width)):
            part = short[start : start + max(1, _CELLS // width)]
            filled[part], enough = _filled_up(ranked[part], part, order[:width], excluded)
            rest.append(part[~enough])
        short = np.concatenate(rest) if width < len(order) else short[:0]
        width *= 4  # few need to look far down
    return filled


def _filled_up(ranked: Rows, query: Ints, order: Ints, excluded: Ints) -> tuple[Rows, NDArray[np.bool_]]:
    """Fill the ends of some lists from ``order``; also tells which lists are full."""
    out = _in_sorted(excluded, _keys(query[:, None], order[None, :]))
    free = np.argsort(out, axis=1, kind="stable")[:, : ranked.shape[1]]
    rows = np.where(np.take_along_axis(out, free, 1), -1, order[free])
    empty = ranked < 0
    nth = np.cumsum(empty, axis=1) - 1  # the first empty place gets the first free item
    there = empty & (nth < rows.shape[1])
    values = np.take_along_axis(rows, np.clip(nth, 0, rows.shape[1] - 1), 1)
    filled = np.where(there, values, ranked).astype(np.int32)
    full: NDArray[np.bool_] = np.all(filled >= 0, axis=1)
    return filled, full


def _keys(query: Ints, row: NDArray[np.integer]) -> Ints:
    keys: Ints = (query << 32) | row.astype(np.int64)
    return keys


def _in_sorted(known: Ints, keys: Ints) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(keys.shape, np.bool_)
    is_known: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return is_known
