"""Training events as flat arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.clicks.histories import Histories, ranges

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class TrainingEvents:
    """Events before the first held-out one of each user, user by user, oldest first.

    Args:
        users: User row of each event, ``[n]``.
        items: Item row, ``[n]``.
        times: Unix seconds, ``[n]``.
        weights: Event weight, ``[n]``; ones where the log has none.
        types: Code of the event type, ``[n]``; None where the log has none.
    """

    users: Ints
    items: Rows
    times: Ints
    weights: NDArray[np.float64]
    types: NDArray[np.uint16] | None = None

    @staticmethod
    def of(histories: Histories) -> "TrainingEvents":
        """Training events of all users."""
        lengths = histories.train_end - histories.offsets[:-1]
        at = ranges(histories.offsets[:-1], lengths)
        weights = np.ones(len(at)) if histories.weights is None else histories.weights[at].astype(np.float64)
        users = np.repeat(np.arange(histories.n_users), lengths)
        types = None if histories.event_types is None else histories.event_types[at]
        return TrainingEvents(users, histories.items[at], histories.times[at], weights, types)

    def of_types(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True on events of these types, ``[n]``."""
        return np.zeros(len(self.items), bool) if self.types is None else np.isin(self.types, codes)

    def popularity(self, size: int) -> NDArray[np.float64]:
        """Summed weights of each row, ``[size]``."""
        popularity: NDArray[np.float64] = np.bincount(self.items, self.weights, minlength=size)[:size].astype(
            np.float64
        )
        return popularity

    def by_user(self, size: int, n_users: int) -> sparse.csr_array:
        """Summed weights per user and item, ``[n_users, size]``."""
        return sparse.csr_array((self.weights, (self.users, self.items)), shape=(n_users, size))
