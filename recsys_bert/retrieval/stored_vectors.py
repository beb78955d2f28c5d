"""Vectors inside a FAISS index: filtered search in lists that are full wherever the index holds enough items."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_bert.clicks.histories import distinct
from recsys_bert.errors import InputError
from recsys_bert.retrieval import faiss_parts
from recsys_bert.retrieval.index_config import Metric
from recsys_bert.retrieval.index_filter import IndexFilter
from recsys_bert.retrieval.side_list import no_results

if TYPE_CHECKING:
    from recsys_bert.retrieval.exact import Allowed

_RESULTS_PER_CHUNK = 1 << 21  # bounds the arrays of one search call
_MOST_QUERIES = 2048


class StoredVectors:
    """A FAISS index and the item row of each of its vectors.

    Args:
        index: The FAISS index.
        rows: ``[n]`` by position, -1 where the item was removed.
        metric: Of the search.
    """

    def __init__(self, index: Any, rows: np.ndarray, metric: Metric) -> None:
        self.index, self.rows, self.metric = index, rows, metric
        self._order = np.argsort(rows, kind="stable")

    def without(self, rows: np.ndarray) -> "StoredVectors":
        """The same vectors, with some rows taken out of every search."""
        return StoredVectors(
            self.index, np.where(np.isin(self.rows, rows), -1, self.rows).astype(np.int32), self.metric
        )

    def search(
        self,
        queries: np.ndarray,
        k: int,
        seen: tuple[np.ndarray, np.ndarray] | None,
        allowed: "Allowed | None",
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``ItemIndex.search``, of queries as FAISS wants them.

        More than k are fetched, others drop out, and queries left short ask again for more. FAISS selects by itself
        where the index type can; where less than a tenth is allowed all of it is looked at.
        """
        if not len(self.rows):
            return no_results(len(queries), k, self.metric)
        subset = IndexFilter(self.rows, allowed)
        keys = self._seen_keys(seen, len(queries), subset)
        n_seen = np.bincount(keys // len(self.rows), minlength=len(queries))
        positions = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), np.inf if self.metric == "l2" else -np.inf, np.float32)
        short, factor, fetch = np.flatnonzero(n_seen < subset.n_left), 1, np.zeros(1, np.int64)
        while len(short):
            fetch = subset.fetched((k + n_seen[short]) * factor, self.index)
            with faiss_parts.effort(self.index, len(self.rows) if subset.is_narrow else factor) as no_list_left:
                for part, n in _chunks(short, fetch):
                    positions[part], scores[part] = self._best_left(queries[part], part, k, n, keys, subset)
            if no_list_left and fetch.min() >= subset.most(self.index):
                break
            short = short[(positions[short] >= 0).sum(1) < np.minimum(k, subset.n_left - n_seen[short])]
            factor *= 8
        return np.where(positions >= 0, self.rows[positions], -1).astype(np.int32), scores

    def _best_left(
        self, queries: np.ndarray, numbers: np.ndarray, k: int, fetch: int, keys: np.ndarray, subset: IndexFilter
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``[n, k]`` (-1: none) and scores of the best of ``fetch`` allowed items not in ``keys``."""
        exhaustive = subset.is_narrow or fetch >= subset.most(self.index)
        index = faiss_parts.flat_storage(self.index) if exhaustive else self.index
        distances, matches = index.search(queries, fetch, params=subset.parameters(index))
        scores = faiss_parts.scores_of(self.index, distances)
        out = (matches < 0) | ~subset.allows(matches)
        if len(keys):
            pairs = numbers[:, None] * len(self.rows) + matches
            out |= keys[np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)] == pairs
        order = np.argsort(out, axis=1, kind="stable")[:, :k]
        out = np.take_along_axis(out, order, 1)
        nothing = np.inf if self.metric == "l2" else -np.inf
        matches, scores = np.take_along_axis(matches, order, 1), np.take_along_axis(scores, order, 1)
        best, worst = np.where(out, -1, matches), np.where(out, nothing, scores)
        padding = ((0, 0), (0, k - order.shape[1]))  # fewer are left than asked for
        return np.pad(best, padding, constant_values=-1), np.pad(worst, padding, constant_values=nothing)

    def _seen_keys(self, seen: tuple[np.ndarray, np.ndarray] | None, n_queries: int, subset: IndexFilter) -> np.ndarray:
        """Seen pairs that the index could return, as sorted distinct ``query * vectors + position``, int64."""
        if seen is None:
            return np.empty(0, np.int64)
        query_index, rows = np.asarray(seen[0], np.int64), np.asarray(seen[1], np.int64)
        if len(query_index) and not 0 <= query_index.min() <= query_index.max() < n_queries:
            raise InputError(f"seen pairs name query {query_index.max()}; there are {n_queries} queries.")
        positions = self._positions(rows)
        known = (positions >= 0) & subset.allows(positions)
        return distinct(query_index[known] * len(self.rows) + positions[known])

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Position among the stored vectors of each item row, -1 where it is not there."""
        at = np.minimum(np.searchsorted(self.rows, rows, sorter=self._order), len(self.rows) - 1)
        matches = self._order[at]
        return np.where((self.rows[matches] == rows) & (rows >= 0), matches, -1)


def _chunks(queries: np.ndarray, fetch: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Cut queries into groups that ask for about as many items, so that one long history does not cost all.

    Args:
        queries: Query numbers ``[n]``.
        fetch: Items that each has to fetch ``[n]``.

    Yields:
        Query numbers of a group and the most that one of them fetches.
    """
    order = np.argsort(-fetch, kind="stable")
    start = 0
    while start < len(order):
        n = int(fetch[order[start]])
        stop = start + min(max(_RESULTS_PER_CHUNK // n, 1), _MOST_QUERIES)
        yield queries[order[start:stop]], n
        start = stop
