"""Training histories that lead to a given item, for contrastive losses."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.batches import Crops
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.objectives.sequences import Ints, Sequences
from recsys_bert.user_encoder.batches import history_sequences, target_events


class HistoriesByTarget:
    """Draws, for an item, the events of some user before a training event of that item.

    Args:
        dataset: The log.
        target_types: Codes of the event types that are targets; empty: all.
        longest: Events of a history at most; the last ones.
        times: Whether timestamps are read.
        event_types: Whether event types are read.
    """

    def __init__(
        self, dataset: ClickDataset, target_types: Ints, longest: int, *, times: bool, event_types: bool
    ) -> None:
        self.dataset, self.target_types, self.longest = dataset, target_types, longest
        self.times, self.event_types = times, event_types
        histories = dataset.histories
        start = histories.offsets[:-1]
        counts = np.diff(histories.offsets)
        event = np.arange(len(histories.items))
        eligible: NDArray[np.bool_] = target_events(dataset, target_types)
        eligible = eligible & (event > np.repeat(start, counts)) & (event < np.repeat(histories.train_end, counts))
        events = np.flatnonzero(eligible)
        self.events = events[np.argsort(histories.items[events], kind="stable")]
        """Events with one before them, by item."""
        self.first = np.searchsorted(histories.items[self.events], np.arange(dataset.vocabulary.size + 1))
        """``[rows + 1]`` first of each item's ``events``."""

    def __call__(self, targets: Ints, random: np.random.Generator) -> Sequences:
        """Draw a history for each of ``targets [n]``, each a target of a training history."""
        histories = self.dataset.histories
        stop = self.events[random.integers(self.first[targets], self.first[targets + 1])]
        users = np.searchsorted(histories.offsets, stop, side="right") - 1
        part = (histories.offsets[users], stop, self.longest)
        items, lengths = histories.gather(*part)
        crops = Crops(
            items,
            lengths,
            users,
            times=histories.gather_times(*part) if self.times else None,
            event_types=histories.gather_event_types(*part) if self.event_types else None,
        )
        return history_sequences(crops, self.dataset.vocabulary, self.target_types)
