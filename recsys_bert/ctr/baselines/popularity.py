"""Popularity: logistic regression on the log of the target's training events, which need no labels."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.data import CTRData
from recsys_bert.errors import InputError


class Popularity:
    """Click probability by how often the target stands in the prepared log's training events.

    Args:
        dataset: Prepared log whose training events are counted.
        history_len: Not read.

    Raises:
        InputError: There is no log.
    """

    def __init__(self, dataset: ClickDataset | None, history_len: int) -> None:
        if dataset is None:
            raise InputError(
                "baselines has 'popularity', which counts the training events of a prepared log. Give one, or leave it "
                "out."
            )
        self.log_counts = np.log1p(dataset.vocabulary.counts.astype(np.float64))

    def fit(self, train: CTRData, validation: CTRData) -> None:
        """Fit slope and intercept on training impressions; nothing is chosen on validation."""
        from sklearn.linear_model import LogisticRegression

        self.model = LogisticRegression().fit(self._inputs(train), train.labels)

    def probabilities(self, data: CTRData) -> NDArray[np.float64]:
        """Click probabilities ``[n]``."""
        probabilities: NDArray[np.float64] = self.model.predict_proba(self._inputs(data))[:, 1]
        return probabilities

    def _inputs(self, data: CTRData) -> NDArray[np.float64]:
        """``log(1 + training events)`` of each target, ``[n, 1]``; 0 for items beyond the log's table."""
        assert data.targets is not None
        known = data.targets < len(self.log_counts)
        return np.where(known, self.log_counts[np.where(known, data.targets, 0)], 0.0)[:, None]
