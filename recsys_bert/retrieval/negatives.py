"""Drawing negatives, and how often each item is expected among them (for logQ)."""

import numpy as np
from numpy.typing import NDArray


class NegativeSampler:
    """Draws item rows in proportion to training count to some power, with replacement.

    Args:
        counts: Training events by row, ``[vocab_size]``.
        first_item: First row that is an item.
        n: Draws per history.
        power: 0 is uniform, 1 in proportion to popularity.
    """

    def __init__(self, counts: NDArray[np.int64], *, first_item: int, n: int, power: float = 0.0) -> None:
        self.first_item, self.n, self.power = first_item, n, power
        weights = counts[first_item:].astype(np.float64) ** power
        self.shares = weights / weights.sum()
        self._edges = np.cumsum(self.shares)

    def draw(self, random: np.random.Generator, histories: int) -> NDArray[np.int64]:
        """Draw item rows ``[histories, n]``."""
        size = (histories, self.n)
        if self.power == 0:
            return random.integers(self.first_item, self.first_item + len(self.shares), size=size)
        found = np.searchsorted(self._edges, random.random(size), side="right")
        return self.first_item + np.minimum(found, len(self.shares) - 1)

    @property
    def expected_draws(self) -> NDArray[np.float64]:
        """Expected number of draws of each row for one history, ``[vocab_size]``; 0 for special rows."""
        return np.concatenate([np.zeros(self.first_item), self.n * self.shares])
