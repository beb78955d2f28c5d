"""Popularity: what everybody clicks, ever or lately."""

import numpy as np
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.counts import Ints, Rows, by_popularity
from recsys_bert.retrieval.baselines.lists import check_k, rank_by_day, rank_in_chunks

_DAY = 86_400


class Popular:
    """The items with the largest summed event weight in training."""

    name = "popular"

    def fit(self, dataset: ClickDataset) -> "Popular":
        """Count training events."""
        self._size = dataset.vocabulary.size
        popularity = TrainingEvents.of(dataset.histories).popularity(self._size)
        self._order = by_popularity(popularity, dataset.vocabulary.first_item)
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        nothing = lambda part: sparse.csr_array((len(part), self._size))  # noqa: E731
        return rank_in_chunks(queries, k, self._order, exclude_seen, nothing, self.name)


class PopularRecent:
    """The items with the largest summed weight in the last days of training before the moment asked.

    A query is asked at the start of its day (UTC), or, after the end of training, at that end, and only training
    events before that moment count, so nothing from its future does. Items without an event in those days follow in
    the order of their popularity up to the end of training.

    Args:
        days: Length of the window.
    """

    name = "popular_recent"
    needs_times = True

    def __init__(self, *, days: float = 7) -> None:
        if days <= 0:
            raise InputError(f"popular_recent: days is {days}; it must be more than 0.")
        self.days = days

    def fit(self, dataset: ClickDataset) -> "PopularRecent":
        """Sort training events by time.

        Raises:
            InputError: The log has no times.
        """
        if not dataset.has_times:
            raise InputError("popular_recent needs times and this log has none. Leave it out, or use popular.")
        events = TrainingEvents.of(dataset.histories)
        order = np.argsort(events.times, kind="stable")
        self._times, self._items = events.times[order], events.items[order]
        self._weights, self._size = events.weights[order], dataset.vocabulary.size
        self._first_item = dataset.vocabulary.first_item
        self._ever = events.popularity(self._size)
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue at the moment of each query: rows ``[n, k]``, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        check_k(k, self._size - self._first_item)
        return rank_by_day(queries, k, int(self._times[-1]) + 1, self._order, exclude_seen)

    def _order(self, timestamp: int) -> Ints:
        """Rows in the order of the window that ends before ``timestamp``."""
        first, last = np.searchsorted(self._times, [timestamp - self.days * _DAY, timestamp])
        recent = np.bincount(self._items[first:last], self._weights[first:last], minlength=self._size)
        rows = np.lexsort((np.arange(self._size), -self._ever, -recent))
        return rows[rows >= self._first_item]
