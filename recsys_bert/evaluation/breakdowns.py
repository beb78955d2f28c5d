"""Metrics by history length, by item popularity, and by training events of the target."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.evaluation.ranking import Pairs, ranks, relevant

EVENT_GROUPS = ("0", "1-4", "5-19", "20+")
"""Training events of a target: never seen, few-shot, some, many."""
_EVENT_BORDERS = (1, 5, 20)


def quantile_groups(values: NDArray[np.integer], n_groups: int = 4) -> tuple[NDArray[np.int64], list[str]]:
    """Cut whole numbers into groups of about equal size; equal numbers share a group.

    Args:
        values: int ``[n]``.
        n_groups: Number of groups; fewer come back where many values are equal.

    Returns:
        Group of every value, int64 ``[n]``, and the groups' names, as in ``"3-7"``, ascending.
    """
    values = np.asarray(values)
    if not values.size:
        return np.zeros(0, dtype=np.int64), []
    inner = np.linspace(0.0, 1.0, n_groups + 1)[1:-1]
    upper = np.unique(np.append(np.quantile(values, inner, method="inverted_cdf"), values.max()))
    group = np.searchsorted(upper, values, side="left")
    names = []
    for number in range(len(upper)):
        inside = values[group == number]
        low, high = inside.min(), inside.max()
        names.append(f"{low:,}" if low == high else f"{low:,}-{high:,}")
    return group.astype(np.int64), names


def by_user_group(
    values: dict[str, NDArray[np.float64]], group: NDArray[np.integer], names: list[str]
) -> list[dict[str, Any]]:
    """Mean of every metric inside every group of users.

    Args:
        values: Metric → float64 ``[n]``; NaN where a user has no value.
        group: int ``[n]``, as from ``quantile_groups``.
        names: The groups' names.

    Returns:
        One ``{"group", "users", metric: mean or None, …}`` a group.
    """
    out: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        inside = group == number
        line: dict[str, Any] = {"group": name, "users": int(inside.sum())}
        for metric, value in values.items():
            mask = value[inside & ~np.isnan(value)]
            line[metric] = float(mask.mean()) if mask.size else None
        out.append(line)
    return out


def target_groups(
    counts: NDArray[np.integer], target_rows: NDArray[np.integer], first_item: int, n_warm_rows: int, n_groups: int = 4
) -> tuple[NDArray[np.int64], list[str]]:
    """Group targets by the training events of their item, with cold and unknown items as groups of their own.

    Args:
        counts: int ``[rows]`` training events.
        target_rows: int ``[pairs]``.
        first_item: Rows below it are UNKNOWN.
        n_warm_rows: Rows from here on are cold: known by features only.
        n_groups: Quantile groups of the warm targets.
    """
    rows = np.asarray(target_rows, dtype=np.int64)
    warm = (rows >= first_item) & (rows < n_warm_rows)
    group = np.full(rows.size, -1, dtype=np.int64)
    group[warm], names = quantile_groups(np.asarray(counts)[rows[warm]], n_groups)
    for mask, name in (
        (rows >= n_warm_rows, "cold: features only"),
        (rows < first_item, "unknown: cannot be recommended"),
    ):
        if mask.any():
            group[mask] = len(names)
            names = [*names, name]
    return group, names


def by_target_group(
    ranked: NDArray[np.integer], targets: Pairs, group: NDArray[np.integer], names: list[str], k: int, first_item: int
) -> list[dict[str, Any]]:
    """Share of targets among the first k, inside every group of targets.

    Every target has the same weight, so the values do not average to recall@k where users have
    different numbers of targets.

    Args:
        ranked: ``[n, K]`` rows.
        targets: As from ``relevant``: doubles already merged.
        group: int ``[pairs]`` group of every target.
        names: The groups' names.
        k: List length.
        first_item: Targets below it are always missed.
    """
    hit = ranks(ranked, targets, first_item) < k
    return [
        {
            "group": name,
            "targets": int((group == number).sum()),
            f"recall@{k}": float(hit[group == number].mean()) if (group == number).any() else None,
        }
        for number, name in enumerate(names)
    ]


def event_group(counts: NDArray[np.integer], rows: NDArray[np.integer], first_item: int) -> NDArray[np.int64]:
    """Index in ``EVENT_GROUPS`` of each target, ``[pairs]``; unknown targets (below ``first_item``) have no event."""
    rows = np.asarray(rows, np.int64)
    events = np.where(rows < first_item, 0, np.asarray(counts)[rows])
    return np.searchsorted(_EVENT_BORDERS, events, side="right").astype(np.int64)


def by_training_events(
    ranked: NDArray[np.integer], targets: Pairs, counts: NDArray[np.integer], k: int, first_item: int
) -> list[dict[str, Any]]:
    """Recall and NDCG at k by the training events of the target's item.

    Every target counts by itself, with the same weight and an ideal list of one: its recall is 1 and its NDCG
    1 / log2(rank + 1) where its rank is at most k, else both are 0. With one target a prediction these are the usual
    metrics of the predictions in the group.

    Args:
        ranked: ``[n, K]`` rows.
        targets: As from ``relevant``: doubles already merged.
        counts: int ``[rows]`` training events.
        k: List length.
        first_item: Targets below it are unknown: always missed.

    Returns:
        One ``{"group", "predictions", "targets", "recall@k", "ndcg@k"}`` an entry of ``EVENT_GROUPS``; predictions are
        queries with a target in the group, metrics None without any.
    """
    rank, group = ranks(ranked, targets, first_item), event_group(counts, targets[1], first_item)
    gain = np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)
    lines: list[dict[str, Any]] = []
    for number, name in enumerate(EVENT_GROUPS):
        inside = group == number
        lines.append(
            {
                "group": name,
                "predictions": len(np.unique(targets[0][inside])),
                "targets": int(inside.sum()),
                f"recall@{k}": float((rank[inside] < k).mean()) if inside.any() else None,
                f"ndcg@{k}": float(gain[inside].mean()) if inside.any() else None,
            }
        )
    return lines


def mean_by(owners: NDArray[np.integer], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the values of each owner, NaN ones left out; NaN where none is left.

    Args:
        owners: int ``[n]``, counted from 0 without gaps.
        values: float64 ``[n]``.
    """
    known = ~np.isnan(values)
    n_owners = int(owners.max(initial=-1)) + 1
    total = np.bincount(owners[known], weights=values[known], minlength=n_owners)
    count = np.bincount(owners[known], minlength=n_owners)
    return np.divide(total, count, out=np.full(n_owners, np.nan), where=count > 0)


def recall_curve(
    ranked: NDArray[np.integer],
    targets: Pairs,
    first_item: int = 0,
    owners: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Mean recall over users at every list length 1..K, float64 ``[K]``.

    Args:
        ranked: ``[n, K]`` rows.
        targets: ``(query_index, row)``.
        first_item: Targets below it are always missed.
        owners: int ``[n]`` user of each query, averaged over first; None: one query a user.
    """
    query, row = relevant(targets, first_item)
    rank = ranks(ranked, (query, row), first_item)
    count = np.bincount(query, minlength=len(ranked))
    weights, n_users = 1.0 / count[query], int((count > 0).sum())
    if owners is not None:
        queries = np.bincount(owners[count > 0])
        weights, n_users = weights / queries[owners[query]], int((queries > 0).sum())
    share = np.bincount(rank, weights=weights, minlength=ranked.shape[1] + 1)
    return np.cumsum(share[: ranked.shape[1]]) / max(n_users, 1)
