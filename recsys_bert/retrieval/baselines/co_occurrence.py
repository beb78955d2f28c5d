"""Co-occurrence in order: what came soon after the last few items."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.counts import Rows, by_popularity, soon_after
from recsys_bert.retrieval.baselines.lists import rank_in_chunks
from recsys_bert.retrieval.recency import fading


class CoOccurrence:
    """Items by how often they came within a window after each of the last items of the history, in training.

    A pair ``gap`` events apart counts ``1 / gap``, and an item of the history that is ``age`` events old counts
    ``decay ** age``. With ``last=1, window=1`` this is the Markov chain.

    Args:
        last: Last items of the history that count.
        window: Largest gap of a pair, in events.
        decay: In (0, 1]; 1 counts all of them equally.
        most: Followers kept of every item, those that came most often; 0 keeps all.
        half_life: Days after which a pair counts half as much, by its later event; None counts all alike.
    """

    name = "co_occurrence"
    after: sparse.csr_array
    """How often each row (second) came soon after each other one (first)."""

    def __init__(
        self, *, last: int = 5, window: int = 10, decay: float = 0.5, most: int = 0, half_life: float | None = None
    ) -> None:
        if last < 1 or window < 1 or not 0 < decay <= 1 or most < 0:
            raise InputError(
                f"co_occurrence: last is {last}, window {window}, decay {decay}, most {most}; needed are at least 1, "
                "1, (0, 1] and at least 0."
            )
        if half_life is not None and not 0 < half_life < np.inf:
            raise InputError(f"co_occurrence: half_life is {half_life}; it must be more than 0 days.")
        self.last, self.window, self.decay, self.most, self.half_life = last, window, decay, most, half_life

    def fit(self, dataset: ClickDataset) -> "CoOccurrence":
        """Count pairs; one weighs what its second event weighs.

        Raises:
            InputError: There is a half-life, and the log has no times.
        """
        size, first_item = dataset.vocabulary.size, dataset.vocabulary.first_item
        events = TrainingEvents.of(dataset.histories)
        self._order = by_popularity(events.popularity(size), first_item)
        if self.half_life is not None:
            if not dataset.has_times:
                raise InputError("a half-life needs times and this log has none. Leave it out.")
            faded = events.weights * fading(events.times, "half_life", self.half_life)
            events = replace(events, weights=faded)
        self.after = soon_after(events, size, first_item, self.window, self.most)
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones after those that co-occurred, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        return rank_in_chunks(queries, k, self._order, exclude_seen, self.scores, self.name)

    def scores(self, part: Queries) -> sparse.csr_array:
        """Weighed counts of what came soon after the last items, ``[len(part), rows]``; what never did has none."""
        items, lengths = part.inputs(self.last)
        query, position = np.nonzero(np.arange(items.shape[1]) < lengths[:, None])
        row, age = items[query, position], lengths[query] - 1 - position
        known = row < self.after.shape[0]  # nothing is known of items without training events
        weights = (self.decay ** age[known], (query[known], row[known]))
        return sparse.csr_array(weights, shape=(len(part), self.after.shape[0])) @ self.after
