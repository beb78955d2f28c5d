"""Ranking by two tables of static embeddings: an item's vector, and its vector as a neighbour."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.counts import Rows, by_popularity
from recsys_bert.retrieval.baselines.lists import fill
from recsys_bert.retrieval.exact import exact_top_k


class Beside:
    """Items by the inner product of their vector as a neighbour with the last items' vectors, all of length 1.

    Args:
        last: Last items of the history that count.
        decay: In (0, 1]: an item that is ``age`` events old counts ``decay ** age``.
        name: Of the baseline, for messages.

    Raises:
        InputError: A setting out of its range.
    """

    def __init__(self, last: int, decay: float, name: str) -> None:
        if last < 1 or not 0 < decay <= 1:
            raise InputError(f"{name}: last is {last}, decay {decay}; needed are at least 1 and (0, 1].")
        self.last, self.decay = last, decay

    def fit(self, dataset: ClickDataset, items: NDArray[np.float32], neighbours: NDArray[np.float32]) -> None:
        """Take both tables, ``[size, dim]``, and the order of popularity."""
        self._first_item = dataset.vocabulary.first_item
        popularity = TrainingEvents.of(dataset.histories).popularity(dataset.vocabulary.size)
        self._order = by_popularity(popularity, self._first_item)
        self._items, self._neighbours = _of_length_one(items), _of_length_one(neighbours)

    def rank(self, queries: Queries, k: int, exclude_seen: bool) -> Rows:
        """Rows ``[n, k]``, popular ones where no item is known, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        seen = queries.seen() if exclude_seen else (np.empty(0, np.int64), np.empty(0, np.int32))
        users = self._users(queries)
        ranked, _ = exact_top_k(users, self._neighbours, k, first_item=self._first_item, seen=seen)
        ranked[~users.any(axis=1)] = -1
        return fill(ranked, self._order, seen)

    def _users(self, queries: Queries) -> NDArray[np.float32]:
        """Vectors of the last items, added up, ``[n, dim]``."""
        items, lengths = queries.inputs(self.last)
        age = lengths[:, None] - 1 - np.arange(items.shape[1])
        known = (age >= 0) & (items >= self._first_item) & (items < len(self._items))
        weights = np.where(known, self.decay ** np.maximum(age, 0), 0).astype(np.float32)
        summed: NDArray[np.float32] = np.einsum("ni,nid->nd", weights, self._items[np.where(known, items, 0)])
        return summed


def _of_length_one(table: NDArray[np.float32]) -> NDArray[np.float32]:
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), np.float32(1e-12))
