"""Metrics of ranked lists against held-out events, and paired comparisons of models, as plain numbers for JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.evaluation.beyond_accuracy import beyond_accuracy
from recsys_bert.evaluation.breakdowns import (
    by_target_group,
    by_training_events,
    by_user_group,
    mean_by,
    quantile_groups,
    recall_curve,
    target_groups,
)
from recsys_bert.evaluation.ranking import Pairs, per_user, relevant, summary, within
from recsys_bert.evaluation.significance import Correction, compare, corrected

Values = dict[str, NDArray[np.float64]]
"""Metric → one value a user, NaN where a user has none."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Held-out events, and the settings of the metrics."""

    events: Pairs
    """Held-out events, ``(query_index, row)``; doubles are merged as ``ranking.relevant`` says."""
    n_queries: int
    """Queries; one a user without ``owners``."""
    history_lengths: NDArray[np.integer]
    """``[n_queries]`` events that each user's list is made from."""
    counts: NDArray[np.integer]
    """``[rows]`` training events of every catalogue row."""
    first_item: int
    """Rows below it are no items."""
    n_warm_rows: int
    """Rows from here on have no training event."""
    ks: tuple[int, ...]
    """List lengths, ascending."""
    headline_k: int
    """List length of breakdowns, comparisons and catalogue metrics."""
    samples: int = 1000
    """Bootstrap resamples; the randomisation tests draw ten times as many."""
    level: float = 0.95
    """Coverage of the intervals."""
    groups: int = 4
    """Quantile groups of the breakdowns."""
    seed: int = 0
    """Of all resampling."""
    gains: NDArray[np.floating] | None = None
    """Gain of each held-out event, its weight; adds graded NDCG."""
    correction: Correction = "holm"
    """Of the p-values of all comparisons together."""
    owners: NDArray[np.int64] | None = None
    """``[n_queries]`` user of each query, counted from 0 without gaps; None: one query a user. Metrics are
    averaged over the queries of each user first."""

    @cached_property
    def targets(self) -> Pairs:
        """Targets, doubles merged, sorted by query."""
        return relevant(self.events, self.first_item)

    @cached_property
    def warm_targets(self) -> Pairs:
        """Those with a training event."""
        return within(self.targets, self.first_item, self.n_warm_rows)

    @cached_property
    def _by_history(self) -> tuple[NDArray[np.int64], list[str]]:
        lengths = self.history_lengths
        if self.owners is not None:
            lengths = lengths[np.unique(self.owners, return_index=True)[1]]
        return quantile_groups(lengths, self.groups)

    @cached_property
    def _by_popularity(self) -> tuple[NDArray[np.int64], list[str]]:
        return target_groups(self.counts, self.targets[1], self.first_item, self.n_warm_rows, self.groups)

    def evaluate(self, ranked: NDArray[np.integer]) -> tuple[dict[str, Any], Values]:
        """Compute all metrics of one model.

        Args:
            ranked: ``[n_queries, K]`` rows, best first; -1 where a list is shorter.

        Returns:
            Its part of the results, and its values user by user for comparisons.
        """
        k = self.headline_k
        ks = tuple(one for one in self.ks if one <= ranked.shape[1])
        values = self._per_user(ranked, ks)
        metrics = warm = self._intervals(values)
        if len(self.warm_targets[0]) < len(self.targets[0]):
            warm = self._intervals(self._per_user(ranked, ks, warm=True))
        results: dict[str, Any] = {
            "metrics": metrics,
            "warm": warm,
            "curve": recall_curve(ranked, self.targets, self.first_item, self.owners).tolist(),
            "beyond": beyond_accuracy(ranked, self.counts, self.targets[1], k, self.first_item),
            "by_popularity": by_target_group(ranked, self.targets, *self._by_popularity, k, self.first_item),
            "by_training_events": by_training_events(ranked, self.targets, self.counts, k, self.first_item),
        }
        headline = {name: values[name] for name in (f"recall@{k}", f"ndcg@{k}")}
        results["by_history"] = by_user_group(headline, *self._by_history)
        return results, values

    def _per_user(self, ranked: NDArray[np.integer], ks: Sequence[int], *, warm: bool = False) -> Values:
        """Metrics of every user: the mean over his queries that have a value; ``warm``: over warm targets only."""
        (query, row), gains = self.events, self.gains
        if warm:
            inside = (row >= self.first_item) & (row < self.n_warm_rows)
            query, row, gains = query[inside], row[inside], None if gains is None else gains[inside]
        values = per_user(ranked, (query, row), self.n_queries, ks, self.first_item, gains)
        return values if self.owners is None else {name: mean_by(self.owners, one) for name, one in values.items()}

    def _intervals(self, values: Values) -> dict[str, dict[str, Any]]:
        intervals = summary(values, self.samples, self.level, self.seed)
        return {name: {key: _or_none(value) for key, value in asdict(one).items()} for name, one in intervals.items()}

    def compare(self, values: dict[str, Values], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Compare models user by user, by NDCG and recall at the headline k.

        Args:
            values: Model → its values, from ``evaluate``.
            pairs: Models to compare: first minus second.

        Returns:
            One dict a comparison; ``p_corrected`` is corrected for all of them together.
        """
        lines: list[dict[str, Any]] = []
        for first, second in pairs:
            for metric in (f"ndcg@{self.headline_k}", f"recall@{self.headline_k}"):
                test = compare(
                    values[first][metric], values[second][metric], 10 * max(self.samples, 100), self.level, self.seed
                )
                lines.append({"model": first, "against": second, "metric": metric, **asdict(test)})
        for line, p in zip(lines, corrected([line["p_value"] for line in lines], self.correction), strict=True):
            line["p_corrected"] = p
        return lines


def list_recall(approximate: NDArray[np.integer], exact: NDArray[np.integer]) -> float:
    """Recall of an approximate search: share of the exact list that is in the approximate one, mean over users.

    Args:
        approximate: ``[n, k]`` rows of the approximate search; -1 where a list is shorter.
        exact: ``[n, k]`` rows of the exact search, likewise; users with an empty exact list are left out.
    """
    query, rank = np.nonzero(exact >= 0)
    width = approximate.shape[1]
    values = per_user(approximate, (query, exact[query, rank]), len(exact), (width,))
    return float(np.nanmean(values[f"recall@{width}"]))


def _or_none(value: float) -> float | None:
    return None if isinstance(value, float) and np.isnan(value) else value
