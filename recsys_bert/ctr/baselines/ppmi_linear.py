"""Logistic regression over PPMI vectors of the target and of the user's views, which need no labels.

The vectors are those of ``recsys_bert.static_embeddings.ppmi``, from the training events of the prepared log.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.ctr.data import CTRData
from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.user_encoder.item_init import item_sequences

DIM = 32
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse L2 penalties; the one with the best validation AUC is taken."""
_CHUNK = 8192


class PPMILinear:
    """Linear in the target's vector, the mean vector of the last views, their product and their inner product.

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
        self.vectors = ppmi_vectors(item_sequences(dataset, TrainingEvents.of(dataset.histories)), DIM)
        self.history_len = history_len

    def fit(self, train: CTRData, validation: CTRData) -> None:
        """Fit on training impressions; the penalty is chosen on validation."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        inputs, held_out = self.inputs(train), self.inputs(validation)
        models = [
            make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(inputs, train.labels)
            for strength in STRENGTHS
        ]
        scores = [roc_auc_score(validation.labels, model.decision_function(held_out)) for model in models]
        self.model = models[int(np.argmax(scores))]

    def probabilities(self, data: CTRData) -> NDArray[np.float64]:
        """Click probabilities ``[n]``."""
        probabilities: NDArray[np.float64] = self.model.predict_proba(self.inputs(data))[:, 1]
        return probabilities

    def inputs(self, data: CTRData) -> NDArray[np.float64]:
        """Target, mean view, their product and inner product, ``[n, 3 · dim + 1]``."""
        return np.concatenate([np.zeros((0, 3 * DIM + 1)), *self._chunks(data)])

    def _chunks(self, data: CTRData) -> Iterator[NDArray[np.float64]]:
        for first in range(0, len(data), _CHUNK):
            batch = data.batch(slice(first, first + _CHUNK), self.history_len)
            history, target = self._known(batch["history"]), self._known(batch["target"])
            lengths = np.maximum((batch["history"] != 0).sum(1, keepdims=True), 1)
            item, mean = self.vectors[target], self.vectors[history].sum(1) / lengths
            product = item * mean
            yield np.concatenate([item, mean, product, product.sum(1, keepdims=True)], 1, dtype=np.float64)

    def _known(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows, with those beyond the table as unknown, whose vector is 0."""
        return np.where(rows < len(self.vectors), rows, UNKNOWN)
