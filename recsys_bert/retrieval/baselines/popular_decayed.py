"""Popularity that fades: every event counts half as much after each half-life.

Exponential forgetting of Ding and Li 2005 (https://doi.org/10.1145/1099554.1099689), over all users.
"""

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.counts import Ints, Rows, by_popularity
from recsys_bert.retrieval.baselines.lists import check_k, rank_by_day

_DAY = 86_400


class PopularDecayed:
    """The items with the largest summed weight in training, where an event ``t`` days old counts ``2 ** (-t / days)``.

    Asked as of the day of each query, as ``PopularRecent`` is.

    Args:
        half_life: In days.
    """

    name = "popular_decayed"
    needs_times = True

    def __init__(self, *, half_life: float = 4) -> None:
        if not 0 < half_life < np.inf:
            raise InputError(f"popular_decayed: half_life is {half_life}; it must be more than 0.")
        self.half_life = half_life

    def fit(self, dataset: ClickDataset) -> "PopularDecayed":
        """Sort training events by time.

        Raises:
            InputError: The log has no times.
        """
        if not dataset.has_times:
            raise InputError("popular_decayed needs times and this log has none. Leave it out, or use popular.")
        events = TrainingEvents.of(dataset.histories)
        order = np.argsort(events.times, kind="stable")
        self._times, self._items, self._weights = events.times[order], events.items[order], events.weights[order]
        self._size, self._first_item = dataset.vocabulary.size, dataset.vocabulary.first_item
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue as of each query: rows ``[n, k]``, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        check_k(k, self._size - self._first_item)
        state = _Fading(np.zeros(self._size), int(self._times[0]) if len(self._times) else 0, 0)

        def order(timestamp: int) -> Ints:
            self._advance(state, timestamp)
            return by_popularity(state.weights, self._first_item)

        return rank_by_day(queries, k, int(self._times[-1]) + 1, order, exclude_seen)

    def _advance(self, state: "_Fading", timestamp: int) -> None:
        """Fade what was summed, and add the events up to ``timestamp``, which only grows."""
        last = int(np.searchsorted(self._times, timestamp))
        state.weights *= 2.0 ** (-(timestamp - state.timestamp) / (self.half_life * _DAY))
        age = (timestamp - self._times[state.first : last]) / (self.half_life * _DAY)
        faded = self._weights[state.first : last] * 2.0**-age
        state.weights += np.bincount(self._items[state.first : last], faded, minlength=self._size)
        state.timestamp, state.first = timestamp, last


class _Fading:
    """Summed weights as of a timestamp, and the first event that is not in them."""

    def __init__(self, weights: np.ndarray, timestamp: int, first: int) -> None:
        self.weights, self.timestamp, self.first = weights, timestamp, first
