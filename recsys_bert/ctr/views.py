"""Linear part over PPMI vectors of the target and of the user's views, which need no labels.

The wide half of Wide & Deep (https://arxiv.org/abs/1606.07792), but over vectors that the log gives for nothing
(``recsys_bert.static_embeddings.ppmi``, from its training events) in place of crossed ids. It is logistic regression:
fitted first, with its penalty chosen on validation, and then held, so that a head learns what it leaves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.user_encoder.item_init import item_sequences

DIM = 32
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse L2 penalties; the one with the best validation AUC is taken."""
N_INPUTS = 3 * DIM + 3
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ViewVectors:
    """Vectors and views of every item.

    Args:
        vectors: ``[rows, DIM]``; 0 where an item has no neighbours.
        log_views: ``log(1 + training events)``, ``[rows]``.
    """

    vectors: Floats
    log_views: Floats

    @staticmethod
    def of(dataset: ClickDataset) -> "ViewVectors":
        """Factorise the PPMI of a log's training events.

        Raises:
            InputError: Nobody has two training events.
        """
        vectors = ppmi_vectors(item_sequences(dataset, TrainingEvents.of(dataset.histories)), DIM)
        return ViewVectors(vectors, np.log1p(dataset.vocabulary.counts).astype(np.float32))

    def inputs(self, history: NDArray[Any], target: NDArray[Any]) -> Floats:
        """Inputs of the linear part.

        Args:
            history: Rows ``[n, seq]``, padded with 0 on the right.
            target: Rows ``[n]``.

        Returns:
            Target, mean of the history, their product, its sum, views of the target, and the log of the history's
            length: ``[n, N_INPUTS]``.
        """
        lengths = (history != 0).sum(1)
        rows = self._known(target)
        item, mean = self.vectors[rows], self.vectors[self._known(history)].sum(1) / np.maximum(lengths, 1)[:, None]
        product = item * mean
        numbers = np.stack([product.sum(1), self.log_views[rows], np.log1p(lengths)], 1)
        return np.concatenate([item, mean, product, numbers], 1, dtype=np.float32)

    def _known(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows, with those beyond the table as unknown."""
        return np.where(rows < len(self.vectors), rows, UNKNOWN)


class ViewsPart(nn.Module):
    """The linear part: views and weights, none of which training moves.

    Args:
        n_rows: Rows of the item table.
        n_tasks: Labels.
    """

    vectors: Tensor
    log_views: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, n_rows: int, n_tasks: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(n_rows, DIM))
        self.register_buffer("log_views", torch.zeros(n_rows))
        self.register_buffer("weight", torch.zeros(n_tasks, N_INPUTS))
        self.register_buffer("bias", torch.zeros(n_tasks))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``[batch, n_tasks]`` of inputs ``[batch, N_INPUTS]``."""
        return nn.functional.linear(inputs, self.weight, self.bias)

    @property
    def view_vectors(self) -> ViewVectors:
        """Vectors and views of every item, as arrays."""
        return ViewVectors(self.vectors.cpu().numpy(), self.log_views.cpu().numpy())

    def place(self, views: ViewVectors) -> None:
        """Take the vectors of a log; rows beyond theirs stay 0."""
        self.vectors[: len(views.vectors)] = torch.from_numpy(views.vectors)
        self.log_views[: len(views.log_views)] = torch.from_numpy(views.log_views)

    def take(self, task: int, weight: NDArray[np.float64], bias: float) -> None:
        """Take the fitted weights of one label."""
        self.weight[task] = torch.from_numpy(weight).to(self.weight)
        self.bias[task] = bias


def fit_linear(
    train: Floats, labels: NDArray[Any], validation: Floats, validation_labels: NDArray[Any]
) -> tuple[NDArray[np.float64], float]:
    """Fit logistic regression on standardised inputs.

    Args:
        train: Inputs ``[n, N_INPUTS]``.
        labels: 0 or 1, ``[n]``.
        validation: Inputs that choose the penalty by AUC.
        validation_labels: Their labels.

    Returns:
        Weights ``[N_INPUTS]`` and bias for inputs as they are.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    wide = train.astype(np.float64)
    mean, scale = wide.mean(0), wide.std(0)
    scale[scale < 1e-6] = 1.0
    inputs, held_out = (wide - mean) / scale, (validation - mean) / scale
    models = [LogisticRegression(C=strength, max_iter=1000).fit(inputs, labels) for strength in STRENGTHS]
    scores = [roc_auc_score(validation_labels, model.decision_function(held_out)) for model in models]
    best = models[int(np.argmax(scores))]
    weight = best.coef_[0] / scale
    return weight, float(best.intercept_[0] - weight @ mean)


def fit_part(part: ViewsPart, data: Mapping[str, Any], history_len: int) -> None:
    """Fit the linear part on training impressions (``CTRData`` by split), of several labels each by itself."""
    for task in range(len(part.bias)):
        train, validation = data["train"].of_task(task), data["validation"].of_task(task)
        inputs = [view_inputs(part.view_vectors, one, history_len) for one in (train, validation)]
        part.take(task, *fit_linear(inputs[0], train.labels, inputs[1], validation.labels))


def view_inputs(views: ViewVectors, data: Any, history_len: int, chunk: int = 8192) -> Floats:
    """Inputs of all impressions of a split (``CTRData``), ``[n, N_INPUTS]``."""
    parts = [np.zeros((0, N_INPUTS), np.float32)]
    for first in range(0, len(data), chunk):
        rows = slice(first, first + chunk)
        history, _ = data.histories.gather(data.start[rows], data.stop[rows], history_len)
        parts.append(views.inputs(history, data.targets[rows]))
    return np.concatenate(parts)
