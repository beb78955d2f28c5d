"""Vectors that were put beside a FAISS index: a short list, searched exactly and merged with the results of FAISS."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys_bert.retrieval.exact import Allowed, Seen, exact_top_k
from recsys_bert.retrieval.index_config import Metric

Results = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Rows ``[n, k]``, best first, -1 after the last, and their scores ``[n, k]``."""


@dataclass(frozen=True)
class SideList:
    """Item rows and their vectors, in the order in which they were put.

    Args:
        rows: ``[m]``, distinct.
        vectors: ``[m, dim]``, of unit length where the metric is the cosine.
    """

    rows: NDArray[np.int32]
    vectors: NDArray[np.float32] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def empty(cls, dim: int) -> "SideList":
        """No rows, of width ``dim``."""
        return cls(np.empty(0, np.int32), np.empty((0, dim), np.float32))

    def put(self, rows: NDArray[np.int32], vectors: NDArray[np.float32]) -> "SideList":
        """The list with further rows; those that it has get the new vector."""
        rest = self.without(rows)
        return SideList(np.concatenate([rest.rows, rows]), np.concatenate([rest.vectors, vectors]))

    def without(self, rows: NDArray[np.integer]) -> "SideList":
        """The list without some rows."""
        stays = ~np.isin(self.rows, rows)
        return SideList(self.rows[stays], self.vectors[stays])

    def search(
        self, queries: NDArray[np.float32], k: int, metric: Metric, seen: Seen | None, allowed: Allowed | None
    ) -> Results:
        """The best of the list, exactly; arguments and results as those of ``ItemIndex.search``."""
        mask = None if allowed is None else np.append(allowed, False)[np.minimum(self.rows, len(allowed))]
        n_left = len(self) if mask is None else int(mask.sum())
        if not n_left or not len(queries):
            return no_results(len(queries), k, metric)
        users, items = (queries, self.vectors) if metric != "l2" else _as_products(queries, self.vectors)
        own = None if seen is None else self._own(seen)
        positions, scores = exact_top_k(users, items, min(k, n_left), seen=own, allowed=mask)
        rows = np.where(positions >= 0, self.rows[positions], -1).astype(np.int32)
        if metric == "l2":
            scores = np.where(positions >= 0, (queries**2).sum(1, keepdims=True) - 2 * scores, np.inf)
            scores[positions >= 0] = np.maximum(scores[positions >= 0], 0)
        return rows, scores.astype(np.float32)

    def _own(self, seen: Seen) -> Seen:
        """Seen pairs with positions of the list in place of rows, sorted by query; pairs of other rows drop out."""
        order = np.argsort(self.rows, kind="stable")
        query, row = seen
        at = order[np.minimum(np.searchsorted(self.rows, row, sorter=order), len(self) - 1)]
        inside = np.flatnonzero(self.rows[at] == row)
        inside = inside[np.argsort(query[inside], kind="stable")]
        return query[inside].astype(np.int64), at[inside].astype(np.int32)


def _as_products(
    queries: NDArray[np.float32], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors whose inner product falls as the squared distance rises: ``q · v - |v|² / 2``."""
    users = np.pad(queries, ((0, 0), (0, 1)), constant_values=1)
    return users, np.column_stack([vectors, -0.5 * (vectors**2).sum(1)]).astype(np.float32)


def no_results(n: int, k: int, metric: Metric) -> Results:
    """Lists without an item."""
    worst = np.inf if metric == "l2" else -np.inf
    return np.full((n, k), -1, np.int32), np.full((n, k), worst, np.float32)


def merged(first: Results, second: Results, k: int, metric: Metric) -> Results:
    """The best ``k`` of two lists of different items; between equal scores those of the first come first."""
    rows, scores = (np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True))
    order = np.argsort(scores if metric == "l2" else -scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
