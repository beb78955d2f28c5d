"""Full-ranking metrics at several k, one value a user, and their intervals.

Every metric follows from the rank of each target in its list, so no list is walked in Python:

* recall@k: targets found among the first k ÷ all targets (not ÷ min(k, targets));
* ndcg@k: binary gains, discount 1 / log2(rank + 1), ideal list cut at k as well (Järvelin & Kekäläinen 2002,
  https://doi.org/10.1145/582415.582418);
* graded_ndcg@k: the same with the targets' own gains, linear as in trec_eval, the largest first in the ideal list;
* precision@k: targets among the first k ÷ k, however short the list is;
* map@k: mean over all targets of the precision at each target's rank, 0 beyond k (trec_eval's map_cut);
* hit@k: 1 where any target is among the first k;
* mrr@k: 1 / rank of the first target, 0 beyond k.

There are no sampled metrics here: they do not rank models as full ones do
(Krichene & Rendle 2020, https://doi.org/10.1145/3394486.3403226).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError

METRICS = ("recall", "ndcg", "hit", "mrr", "precision", "map")
"""Of every evaluation; ``graded_ndcg`` is added where targets have gains."""
Pairs = tuple[NDArray[np.integer], NDArray[np.integer]]
"""``(query_index, row)``: two arrays of one length; row i is a target of query ``query_index[i]``."""

_CHUNK = 1 << 22  # numbers of one chunk: 32 MB of float64


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over users with its bootstrap interval."""

    value: float
    """Mean over the users that have a value."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Users that have a value."""


def check_ks(ks: Sequence[int], n_items: int) -> None:
    """Refuse list lengths that no list can have.

    Args:
        ks: List lengths.
        n_items: Items that can be recommended.

    Raises:
        InputError: There is no k, one is below 1, or one is above ``n_items``.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"k must be whole numbers ≥ 1, got {list(ks)}.")
    if max(ks) > n_items:
        raise InputError(f"k = {max(ks)} is larger than the catalogue of {n_items} items; choose k ≤ {n_items}.")


def relevant(targets: Pairs, first_item: int = 0) -> Pairs:
    """Targets as a set per query, sorted by query.

    An item that a user met twice is one target. Rows below ``first_item`` (UNKNOWN buckets) stand for different
    items that nobody can tell apart, so each stays a target of its own: merging them would hide misses.

    Args:
        targets: ``(query_index, row)``, any order.
        first_item: First row that is an item.
    """
    query, row = (np.asarray(part, dtype=np.int64) for part in targets)
    if query.size and (np.diff(query) > 0).all():  # one target a query, in order: leave-one-out
        return query, row
    order = np.lexsort((row, query))
    query, row = query[order], row[order]
    again = np.zeros(query.size, dtype=bool)
    again[1:] = (query[1:] == query[:-1]) & (row[1:] == row[:-1]) & (row[1:] >= first_item)
    return query[~again], row[~again]


def summed_gains(targets: Pairs, gains: NDArray[np.floating], first_item: int = 0) -> NDArray[np.float64]:
    """Gain of each target of ``relevant``, in its order: the summed gains of its events.

    Args:
        targets: ``(query_index, row)``, any order.
        gains: Of each of them, ``[pairs]``.
        first_item: First row that is an item.
    """
    query, row = (np.asarray(part, dtype=np.int64) for part in targets)
    order = np.lexsort((row, query))
    query, row, gains = query[order], row[order], np.asarray(gains, np.float64)[order]
    again = np.zeros(query.size, dtype=bool)
    again[1:] = (query[1:] == query[:-1]) & (row[1:] == row[:-1]) & (row[1:] >= first_item)
    target = np.cumsum(~again) - 1
    return np.bincount(target, weights=gains, minlength=int((~again).sum())).astype(np.float64)


def within(targets: Pairs, start: int, stop: int) -> Pairs:
    """Targets whose row is in ``[start, stop)``: with a vocabulary's borders, the warm ones."""
    query, row = (np.asarray(part) for part in targets)
    keep = (row >= start) & (row < stop)
    return query[keep], row[keep]


def ranks(ranked: NDArray[np.integer], targets: Pairs, first_item: int = 0) -> NDArray[np.int32]:
    """Rank of every target in its query's list.

    Args:
        ranked: ``[n, K]`` rows, best first; -1 where a list is shorter.
        targets: ``(query_index, row)``, each ``[pairs]``.
        first_item: Targets below it are always missed.

    Returns:
        int32 ``[pairs]``, counted from 0; K where the target is not in the list.

    Raises:
        InputError: A query index is outside ``ranked``.
    """
    query, row = (np.asarray(part) for part in targets)
    if query.size and (query.min() < 0 or query.max() >= len(ranked)):
        raise InputError(f"targets name queries {query.min()}..{query.max()}; there are {len(ranked)} lists.")
    width = ranked.shape[1]
    rank = np.full(query.size, width, dtype=np.int32)
    chunk = max(1, _CHUNK // max(width, 1))
    for start in range(0, query.size if width else 0, chunk):
        part = slice(start, start + chunk)
        same = ranked[query[part]] == row[part, None]
        rank[part] = np.where(same.any(axis=1), same.argmax(axis=1), width)
    rank[row < max(first_item, 0)] = width
    return rank


def per_user(
    ranked: NDArray[np.integer],
    targets: Pairs,
    n_queries: int,
    ks: Sequence[int],
    first_item: int = 0,
    gains: NDArray[np.floating] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """All metrics at every k for every query.

    Args:
        ranked: ``[n_queries, K]`` rows, best first, ties already settled; -1 where a list is shorter. K ≥ max(ks).
        targets: ``(query_index, row)``; doubles of one item count once (``relevant``).
        n_queries: Number of queries.
        ks: List lengths.
        first_item: First row that is an item; targets below it (UNKNOWN) are relevant and always missed.
        gains: Above 0, of each target, ``[pairs]``; adds ``graded_ndcg``. Those of doubles are summed.

    Returns:
        ``"recall@10"`` and so on → float64 ``[n_queries]``; NaN for a query without targets.

    Raises:
        InputError: ``ranked`` has another number of lists or is narrower than the largest k.
    """
    ranked = np.asarray(ranked)
    if ranked.ndim != 2 or len(ranked) != n_queries:
        raise InputError(f"ranked has shape {ranked.shape}; expected [{n_queries}, K], one list a query.")
    check_ks(ks, ranked.shape[1])
    query, row = relevant(targets, first_item)
    rank = ranks(ranked, (query, row), first_item)
    count = np.bincount(query, minlength=n_queries)
    first = np.full(n_queries, ranked.shape[1], dtype=np.int64)
    np.minimum.at(first, query, rank)
    discount = 1.0 / np.log2(np.arange(ranked.shape[1] + 1) + 2.0)
    ideal = np.concatenate([[np.nan], np.cumsum(discount)])  # NaN: a query without targets has no value
    relevant_count = np.where(count > 0, count, np.nan)
    precisions = _precision_at(query, rank)
    grades = None if gains is None else summed_gains(targets, gains, first_item)
    values: dict[str, NDArray[np.float64]] = {}
    for k in ks:
        hit = rank < k
        n_hits = np.bincount(query[hit], minlength=n_queries)
        values[f"recall@{k}"] = n_hits / relevant_count
        gain = np.bincount(query[hit], weights=discount[rank[hit]], minlength=n_queries)
        values[f"ndcg@{k}"] = gain / ideal[np.minimum(count, k)]
        values[f"hit@{k}"] = np.where(count > 0, first < k, np.nan)
        values[f"mrr@{k}"] = np.where(count > 0, (first < k) / (first + 1.0), np.nan)
        values[f"precision@{k}"] = np.where(count > 0, n_hits / k, np.nan)
        summed = np.bincount(query[hit], weights=precisions[hit], minlength=n_queries)
        values[f"map@{k}"] = summed / relevant_count
        if grades is not None:
            gain = np.bincount(query[hit], weights=(grades * discount[rank])[hit], minlength=n_queries)
            values[f"graded_ndcg@{k}"] = gain / _ideal_gain(query, grades, discount, n_queries, k)
    return values


def _precision_at(query: NDArray[np.integer], rank: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of targets among the items up to each target's own rank, ``[pairs]``."""
    order = np.lexsort((rank, query))
    lengths = np.bincount(query)
    nth = np.arange(query.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    precisions = np.empty(query.size)
    precisions[order] = (nth + 1) / (rank[order] + 1.0)
    return precisions


def _ideal_gain(
    query: NDArray[np.integer],
    grades: NDArray[np.float64],
    discount: NDArray[np.float64],
    n_queries: int,
    k: int,
) -> NDArray[np.float64]:
    """Discounted gain of the best possible list of k, NaN for a query without targets."""
    order = np.lexsort((-grades, query))
    lengths = np.bincount(query)
    nth = np.arange(query.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    best = nth < k
    ideal = np.bincount(query[order][best], weights=grades[order][best] * discount[nth[best]], minlength=n_queries)
    return np.where(ideal > 0, ideal, np.nan)


def bootstrap(
    values: NDArray[np.float64], samples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap over users for the mean of every column.

    All columns share the resampled users, so any number of metrics and runs costs about as much as one.

    Args:
        values: ``[n, columns]``; NaN where a user has no value in a column.
        samples: Resamples.
        level: Coverage, in (0, 1).
        seed: Of the resampling.

    Returns:
        Lower and upper ends, each float64 ``[columns]``; NaN for a column without any value.
    """
    n = len(values)
    if n == 0 or samples < 1:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    mask = ~np.isnan(values)
    filled = np.where(mask, values, 0.0)
    rng = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    chunk = max(1, _CHUNK // n)
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        sample = rng.integers(0, n, size=(size, n), dtype=np.int64) + n * np.arange(size)[:, None]
        times = np.bincount(sample.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        total = np.full((size, values.shape[1]), float(n)) if mask.all() else times @ mask
        means[start : start + size] = np.divide(times @ filled, total, out=np.full_like(total, np.nan), where=total > 0)
    tail = (1.0 - level) / 2.0
    empty = ~mask.any(axis=0)
    means[:, empty] = 0.0  # nanquantile warns about columns without a value
    low, high = np.nanquantile(means, [tail, 1.0 - tail], axis=0)
    low[empty] = high[empty] = np.nan
    return low, high


def summary(
    values: dict[str, NDArray[np.float64]], samples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Mean over users with a bootstrap interval, for every metric.

    Args:
        values: Metric → float64 ``[n]``, NaN where a user has no value; all of one length.
        samples: Resamples; 0 leaves the intervals out (NaN).
        level: Coverage of the intervals, in (0, 1).
        seed: Of the resampling.
    """
    if not values:
        return {}
    table = np.stack(list(values.values()), axis=1)
    low, high = bootstrap(table, samples, level, seed)
    count = (~np.isnan(table)).sum(axis=0)
    total = np.nansum(table, axis=0)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return {
        name: Interval(value=float(mean[i]), low=float(low[i]), high=float(high[i]), n=int(count[i]))
        for i, name in enumerate(values)
    }
