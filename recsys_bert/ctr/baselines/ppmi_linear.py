"""Logistic regression over PPMI vectors of the target and of the user's views; see ``recsys_bert.ctr.views``."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.data import CTRData
from recsys_bert.ctr.views import ViewVectors, fit_linear, view_inputs
from recsys_bert.errors import InputError


class PPMILinear:
    """Linear in the target's vector, the mean vector of the last views, their product, and three numbers.

    Args:
        dataset: Prepared log whose training events are the views.
        history_len: Last events before an impression that are averaged.

    Raises:
        InputError: There is no log, no history is read, or nobody has two training events.
    """

    def __init__(self, dataset: ClickDataset | None, history_len: int) -> None:
        if dataset is None or not history_len:
            raise InputError(
                "baselines has 'ppmi_linear', which reads histories of a prepared log. Give one, or leave it out."
            )
        self.views, self.history_len = ViewVectors.of(dataset), history_len

    def fit(self, train: CTRData, validation: CTRData) -> None:
        """Fit on training impressions; the penalty is chosen on validation."""
        assert train.labels is not None
        assert validation.labels is not None
        inputs = [view_inputs(self.views, data, self.history_len) for data in (train, validation)]
        self.weight, self.bias = fit_linear(inputs[0], train.labels, inputs[1], validation.labels)

    def probabilities(self, data: CTRData) -> NDArray[np.float64]:
        """Click probabilities ``[n]``."""
        logits = view_inputs(self.views, data, self.history_len) @ self.weight + self.bias
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return probabilities
