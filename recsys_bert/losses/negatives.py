"""Drawing negatives, and the expected draws of each item (for logQ)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.losses.config import NegativesConfig

Popularity = NDArray[np.int64] | NDArray[np.float64]
"""Training events of every row, or their summed weights."""


class NegativeSampler:
    """Draw negatives for each history, with replacement: from the batch's own targets and from the catalogue.

    Mixed negatives are from Yang et al. 2020 (https://doi.org/10.1145/3366424.3386195).

    Args:
        counts: Training events by row, or their summed weights, ``[vocab_size]``.
        first_item: First row that is an item.
        config: Numbers and distribution.
    """

    def __init__(self, counts: Popularity, first_item: int, config: NegativesConfig) -> None:
        self.first_item, self.size, self.config = first_item, len(counts), config
        weights = counts[first_item:].astype(np.float64) ** config.popularity_power
        self._cumulative = np.cumsum(weights / weights.sum())

    def add_to(self, batch: dict[str, Any], items: NDArray[np.int32], random: np.random.Generator) -> None:
        """Put ``negatives [batch, k]`` into a batch, and ``history_hits`` where those are masked out.

        Args:
            batch: Has ``targets [n]``, and ``weights [n]`` if they have weights.
            items: Its histories, ``[batch, seq]``.
            random: The batch's own generator.
        """
        weights = batch.get("weights") if self.config.by_weight else None
        batch["negatives"] = self.draw(random, batch["targets"], len(items), weights)
        if self.config.mask_history_hits:
            batch["history_hits"] = history_hits(items, batch["negatives"])

    def draw(
        self,
        random: np.random.Generator,
        targets: NDArray[np.int32],
        histories: int,
        weights: NDArray[np.float32] | None = None,
    ) -> NDArray[np.int64]:
        """Rows ``[histories, in_batch + uniform]``; a batch without targets has none of the former.

        Args:
            random: Source of randomness.
            targets: Of the batch, ``[n]``.
            histories: Their number.
            weights: Targets are drawn in proportion to these, ``[n]``; None: alike.
        """
        catalogue = self._from_catalogue(random, (histories, self.config.uniform))
        if not len(targets) or not self.config.in_batch:
            return catalogue
        shape = (histories, self.config.in_batch)
        if weights is None or not weights.any():
            index = random.integers(0, len(targets), size=shape)
        else:
            sums = np.cumsum(weights, dtype=np.float64)
            index = np.searchsorted(sums, random.random(shape) * sums[-1], side="right").clip(max=len(targets) - 1)
        in_batch = targets[index]
        return np.concatenate([in_batch.astype(np.int64), catalogue], axis=1)

    def _from_catalogue(self, random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int64]:
        if self.config.popularity_power == 0:
            return random.integers(self.first_item, self.size, size=shape)
        index = np.searchsorted(self._cumulative, random.random(shape), side="right")
        return self.first_item + np.minimum(index, len(self._cumulative) - 1)


def expected_draws(counts: Popularity, first_item: int, config: NegativesConfig) -> NDArray[np.float64]:
    """Expected draws of each row for one history, ``[vocab_size]``: q of logQ."""
    weights = counts.astype(np.float64) ** config.popularity_power
    weights[:first_item] = 0  # special rows are never drawn
    return config.in_batch * (counts / counts.sum()) + config.uniform * weights / weights.sum()


def history_hits(items: NDArray[np.int32], negatives: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True where one of a history's ``negatives [batch, k]`` is among its ``items [batch, seq]``."""
    history = np.arange(len(items), dtype=np.int64)[:, None] << 32
    return np.isin(history | negatives, history | items)
