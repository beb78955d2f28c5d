"""Catalogue metrics of recommendations: coverage, Gini, novelty, popularity bias."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError


def beyond_accuracy(
    ranked: NDArray[np.integer],
    counts: NDArray[np.integer],
    target_rows: NDArray[np.integer],
    k: int,
    first_item: int = 0,
) -> dict[str, float | None]:
    """All catalogue metrics of one run's first k recommendations.

    Args:
        ranked: ``[n, K]`` rows, best first; -1 where a list is shorter.
        counts: int ``[rows]`` training events of every row that can be recommended; 0 for cold items.
        target_rows: Rows of the held-out events, for the popularity bias.
        k: List length.
        first_item: First row that is an item; rows below it are no part of the catalogue.

    Returns:
        Metric → value; None where nothing was recommended or nothing has a count.

        * ``coverage``: share of the catalogue recommended to at least one user;
        * ``gini``: inequality of exposure over the catalogue, 0 = all items equally often, 1 = one item only;
        * ``novelty``: mean self-information −log2(count ÷ all events) of recommended items, in bits; an item without
          events counts as one event (Zhou et al. 2010, https://doi.org/10.1073/pnas.1000488107);
        * ``popularity``: mean training events of recommended items;
        * ``popularity_bias``: that ÷ the mean training events of the targets; above 1 the list is more popular
          than the demand;
        * ``head_share``: share of recommended items among the most popular fifth of the catalogue;
        * ``list_length``: mean number of items in a list.

    Raises:
        InputError: A row is outside ``counts``.
    """
    rows = ranked[:, :k]
    rows = rows[rows >= first_item].astype(np.int64)
    if rows.size and rows.max() >= len(counts):
        raise InputError(f"row {rows.max()} was recommended; the catalogue ends at row {len(counts) - 1}.")
    exposure = np.bincount(rows, minlength=len(counts))[first_item:]
    events = np.asarray(counts, dtype=np.float64)[first_item:]
    targets = np.asarray(target_rows, dtype=np.int64)
    targets = targets[(targets >= first_item) & (targets < len(counts))] - first_item
    n_recommended = exposure.sum()
    popularity = float(exposure @ events / n_recommended) if n_recommended else None
    demand = float(events[targets].mean()) if targets.size else 0.0
    head = np.argsort(-events, kind="stable")[: max(1, round(0.2 * len(events)))]
    information = -np.log2(np.maximum(events, 1.0) / max(events.sum(), 1.0))
    return {
        "coverage": float((exposure > 0).mean()) if exposure.size else None,
        "gini": gini(exposure) if n_recommended else None,
        "novelty": float(exposure @ information / n_recommended) if n_recommended else None,
        "popularity": popularity,
        "popularity_bias": popularity / demand if popularity is not None and demand else None,
        "head_share": float(exposure[head].sum() / n_recommended) if n_recommended else None,
        "list_length": float(n_recommended / len(ranked)) if len(ranked) else None,
    }


def gini(exposure: NDArray[np.integer]) -> float:
    """Gini coefficient of non-negative numbers: (2 Σ i·x_i) / (n Σ x) − (n + 1) / n over ascending x, i from 1."""
    ordered = np.sort(np.asarray(exposure, dtype=np.float64))
    n = len(ordered)
    return float(2.0 * (np.arange(1, n + 1) @ ordered) / (n * ordered.sum()) - (n + 1) / n)
