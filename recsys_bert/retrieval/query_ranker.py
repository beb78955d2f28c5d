"""Rankers that mix a user's scores with the likeness of items to the words of a query."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import Allowed
from recsys_bert.retrieval.ranker import AroundRanker, Lists, Ranker

Floats = NDArray[np.float32]
_USERS = 256  # scored at a time


class QueryRanker(AroundRanker):
    """Ranker whose score is the model's plus a multiple of the cosine between an item's text and the query's.

    The multiple is ``weight / (1 - weight)`` times the spread (standard deviation over all items) of the user's scores,
    divided by that of the cosines. So the order is that of ``(1 - weight) * score + weight * cosine``, both on a scale
    of spread 1: at .5 words and user count alike. It is one inner product: the cosine is one more number of an item's
    vector, the multiple of a user's.

    Args:
        ranker: The model.
        cosines: By catalogue row, ``[rows]``.
        weight: Of the query, in (0, 1).

    Raises:
        InputError: The weight is not in (0, 1), or the query is like all items alike.
    """

    def __init__(self, ranker: Ranker, cosines: Floats, weight: float) -> None:
        if not 0 < weight < 1:
            raise InputError(f"the query's weight is {weight}; it must lie in (0, 1).")
        self.ranker, self.weight = ranker, weight
        self.cosines = np.zeros(ranker.shape[0], np.float32)
        self.cosines[: len(cosines)] = cosines[: ranker.shape[0]]
        self.name, self.first_item, self.reranks = ranker.name, ranker.first_item, ranker.reranks
        self._spread = float(self.cosines[self.first_item :].std())
        if not self._spread:
            raise InputError("the query is like no item's text, or like all of them; use other words.")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        rows, dim = self.ranker.shape
        return rows, dim + 1

    @property
    def item_length(self) -> None:
        """None: lengths differ."""
        return

    def item_vectors(self) -> Floats:
        """``[rows, d]``: the model's, then the cosine."""
        return np.column_stack([self.ranker.item_vectors(), self.cosines])

    def user_vectors(self, queries: Queries) -> Floats:
        """``[n, d]``: the model's, then each user's multiple of the cosine."""
        users, items = self.ranker.user_vectors(queries), self.ranker.item_vectors()[self.first_item :]
        spread = np.empty(len(users), np.float32)
        for start in range(0, len(users), _USERS):
            spread[start : start + _USERS] = (users[start : start + _USERS] @ items.T).std(axis=1)
        factor = self.weight / (1 - self.weight) * np.where(spread > 0, spread, 1) / self._spread
        return np.column_stack([users, factor]).astype(np.float32)

    def gains(self, queries: Queries, query: NDArray[np.int64], row: NDArray[np.int64]) -> Floats | None:
        """Gains of the model."""
        return self.ranker.gains(queries, query, row)

    def rerank(
        self,
        lists: Lists,
        users: Floats,
        queries: Queries,
        *,
        items: Floats | None,
        exclude_seen: bool,
        allowed: Allowed | None = None,
    ) -> Lists:
        """Final lists of the model, whose gains are added to the mixed scores."""
        vectors = self.item_vectors() if items is None else items
        return self.ranker.rerank(lists, users, queries, items=vectors, exclude_seen=exclude_seen, allowed=allowed)
