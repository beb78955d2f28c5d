"""Sum of co-occurrence counts, popularity and text, with nothing trained; weights are chosen on validation."""

import itertools

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence

FLOOR = 3e-4
"""Smoothing of the counts, whose share among the followers of an item enters by its logarithm."""
TEXT_WEIGHTS, POPULARITY_WEIGHTS = (0.0, 1.0, 2.0, 4.0, 8.0), (0.0, 0.1, 0.3)
LAST = 5
_CHUNK = 256
Scores = NDArray[np.float32]


class Untrained:
    """``log(1 + counts / FLOOR) + w · text + v · log(1 + popularity)``.

    Args:
        text: Unit vectors ``[n_rows, d]`` by catalogue row, zeros without text.
        seed: Of the draw of at most 500 validation users.
    """

    def __init__(self, text: Scores, seed: int = 0) -> None:
        self.text, self.seed, self.weights = text, seed, (2.0, 0.1)

    def fit(self, log: ClickDataset) -> "Untrained":
        """Count, and choose the weights by NDCG@10 on validation."""
        self.counts, self.first = CoOccurrence().fit(log), log.vocabulary.first_item
        self.n_rows = log.n_rows
        self.popularity = np.zeros(self.n_rows, np.float32)
        self.popularity[: log.vocabulary.size] = np.log1p(log.vocabulary.counts)
        queries = Queries.of(log, "validation")
        queries = queries[np.sort(np.random.default_rng(self.seed).permutation(len(queries))[:500])]
        if len(queries):
            best = -1.0
            for weights in itertools.product(TEXT_WEIGHTS, POPULARITY_WEIGHTS):
                values = per_user(self.rank(queries, 10, weights), queries.targets(), len(queries), (10,), self.first)[
                    "ndcg@10"
                ]
                if (mean := float(np.nanmean(values))) > best:
                    best, self.weights = mean, weights
        return self

    def rank(self, queries: Queries, k: int, weights: tuple[float, float] | None = None) -> NDArray[np.int32]:
        """Best rows ``[n, k]`` of the full catalogue, cold items too, seen ones removed; ties go to the lower row."""
        ranked = np.empty((len(queries), k), np.int32)
        for start in range(0, len(queries), _CHUNK):
            part = queries[slice(start, start + _CHUNK)]
            scores = self._scores(part, weights or self.weights)
            query, row = part.seen()
            scores[query, row] = -np.inf
            scores[:, : self.first] = -np.inf
            ranked[start : start + len(part)] = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return ranked

    def pairs(self, queries: Queries, rows: NDArray[np.int32]) -> Scores:
        """Score of one row a query, ``[n]``."""
        parts = []
        for start in range(0, len(queries), _CHUNK):
            part = queries[slice(start, start + _CHUNK)]
            scores = self._scores(part, self.weights)
            parts.append(scores[np.arange(len(part)), rows[start : start + len(part)]])
        return np.concatenate(parts)

    def _scores(self, part: Queries, weights: tuple[float, float]) -> Scores:
        """Scores ``[n, n_rows]``."""
        items, lengths = part.inputs(LAST)
        scores = np.zeros((len(part), self.n_rows), np.float32)
        counts = self.counts.scores(part).toarray()
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1e-9)
        scores[:, : counts.shape[1]] = np.log1p(share / FLOOR)
        age = np.maximum(lengths[:, None] - 1 - np.arange(items.shape[1]), 0)
        decay = np.where(np.arange(items.shape[1]) < lengths[:, None], 0.7**age, 0)
        user = (self.text[items] * decay[:, :, None]).sum(1)
        user /= np.maximum(np.linalg.norm(user, axis=1, keepdims=True), 1e-9)
        text, popularity = weights
        scores += text * (user @ self.text.T) + popularity * self.popularity
        return scores
