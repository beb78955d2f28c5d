"""Click rate of the item in training, smoothed towards that of all impressions."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.data import CTRData
from recsys_bert.errors import InputError

PRIOR_IMPRESSIONS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Impressions at the overall rate that are added to those of every item; the best on validation is taken."""


class ItemRate:
    """Clicks of an item over its impressions; reads nothing of the user.

    Args:
        dataset: Not read; items are those of the impressions.
        history_len: Not read.
    """

    def __init__(self, dataset: ClickDataset | None, history_len: int) -> None:
        self.rates = np.zeros(0)

    def fit(self, train: CTRData, validation: CTRData) -> None:
        """Count clicks, and choose the smoothing with the smallest log loss on validation.

        Raises:
            InputError: The impressions have no target item.
        """
        from sklearn.metrics import log_loss

        if train.targets is None or train.labels is None:
            raise InputError(
                "baselines has 'item_rate', which reads the target item: it comes from a prepared log or a history "
                "column. Give one, or leave it out."
            )
        size = int(train.targets.max(initial=0)) + 1
        n = np.bincount(train.targets, minlength=size).astype(np.float64)
        clicks = np.bincount(train.targets, train.labels, minlength=size)
        self.mean = float(train.labels.mean())
        losses = []
        for prior in PRIOR_IMPRESSIONS:
            self.rates = (clicks + prior * self.mean) / (n + prior)
            losses.append(log_loss(validation.labels, self.probabilities(validation), labels=[0, 1]))
        prior = PRIOR_IMPRESSIONS[int(np.argmin(losses))]
        self.rates = (clicks + prior * self.mean) / (n + prior)

    def probabilities(self, data: CTRData) -> NDArray[np.float64]:
        """Smoothed rate of each target ``[n]``; the overall one of items without an impression in training."""
        assert data.targets is not None
        known = data.targets < len(self.rates)
        return np.where(known, self.rates[np.where(known, data.targets, 0)], self.mean)
