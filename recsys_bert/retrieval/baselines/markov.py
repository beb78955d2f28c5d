"""First-order Markov chain: what follows the last item."""

from typing import Literal

import numpy as np
from scipy import sparse

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.counts import Rows, by_popularity, follows
from recsys_bert.retrieval.baselines.lists import rank_in_chunks


class Markov:
    """Items by how often they came right after the last item of the history, in training.

    Popular items follow those that never did.

    Args:
        ties: What goes first between equally frequent followers: the more popular one, or with "first_met" the one
            that was met first, user by user (as a plain counter of pairs gives them).
    """

    name = "markov"

    def __init__(self, *, ties: Literal["popular", "first_met"] = "popular") -> None:
        if ties not in ("popular", "first_met"):
            raise InputError(f"markov: ties is {ties!r}; known are 'popular' and 'first_met'.")
        self.ties = ties

    def fit(self, dataset: ClickDataset) -> "Markov":
        """Count pairs of neighbours; one weighs what its second event weighs."""
        size, first_item = dataset.vocabulary.size, dataset.vocabulary.first_item
        events = TrainingEvents.of(dataset.histories)
        self._order = by_popularity(events.popularity(size), first_item)
        self._next = follows(events, size, first_item, gap=1)
        if self.ties == "first_met":
            self._next = _earlier_first(self._next, events)
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        return rank_in_chunks(queries, k, self._order, exclude_seen, self._score, self.name)

    def _score(self, part: Queries) -> sparse.csr_array:
        items, lengths = part.inputs(1)
        known = np.flatnonzero(lengths)
        last = items[known, 0] if len(known) else np.empty(0, np.int32)
        inside = last < self._next.shape[0]  # nothing is known of items without training events
        pick = (np.ones(int(inside.sum())), (known[inside], last[inside]))
        return sparse.csr_array(pick, shape=(len(part), self._next.shape[0])) @ self._next


def _earlier_first(counts: sparse.csr_array, events: TrainingEvents) -> sparse.csr_array:
    """Raise each count by a share of the least difference between counts, more for pairs that were met earlier."""
    entries = counts.tocoo()
    same = events.users[1:] == events.users[:-1]
    keys = events.items[:-1][same].astype(np.int64) << 32 | events.items[1:][same].astype(np.int64)
    pairs, first = np.unique(keys, return_index=True)
    at = first[np.searchsorted(pairs, entries.row.astype(np.int64) << 32 | entries.col.astype(np.int64))]
    least = np.diff(np.unique(entries.data), prepend=0).min()
    raised = entries.data + least * (1 - (at + 1) / (len(keys) + 1)) / 2
    return sparse.csr_array((raised, (entries.row, entries.col)), shape=counts.shape)
