"""Classification loss on the outputs of a text model."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.classification.config import ClassificationConfig
from nlp_tasks.distilled import no_and_yes
from nlp_tasks.model import TextModel, task_loss
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.losses.classification import multiclass_cross_entropy, multilabel_cross_entropy


class ClassificationLoss(nn.Module):
    """Multiclass or multilabel cross-entropy, the loss that ``fit`` minimises.

    Args:
        model: One output a class.
        config: The settings.
        weights: Class weights, ``[classes]``.
        auxiliary_weight: Share of the loss on the last layer, where the model has an auxiliary head.
    """

    weights: Tensor

    def __init__(
        self,
        model: TextModel,
        config: ClassificationConfig,
        weights: NDArray[np.float32],
        auxiliary_weight: float = 0.8,
    ) -> None:
        super().__init__()
        self.model, self.config, self.auxiliary_weight = model, config, auxiliary_weight
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the examples; ``batch["labels"]`` is ``[examples]``, or ``[examples, classes]`` of 0 and 1."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch from encoder outputs."""
        loss = partial(
            multilabel_cross_entropy if self.config.multi_label else multiclass_cross_entropy,
            targets=batch["labels"],
            weights=self.weights,
            smoothing=self.config.label_smoothing,
            gamma=self.config.focal_gamma,
        )
        return task_loss(self.model, encoded, batch, loss, self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of the classes, or of yes and no for each label."""
        return no_and_yes(outputs) if self.config.multi_label else outputs
