"""Contracts of what is trained: any objective's module, and whatever else can learn from a teacher."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.objectives.token_prediction import TokenPrediction

Batch = Mapping[str, Tensor]


class EncodingModel(Protocol):
    """A model with one encoder, as far as its teacher or student has to know it."""

    @property
    def encoder(self) -> Encoder:
        """The encoder."""

    def encode(self, batch: Batch) -> EncoderOutput:
        """Encoder outputs of a batch."""


class Student(Protocol):
    """A training loss that can learn from a teacher; an ``nn.Module``."""

    @property
    def prediction(self) -> EncodingModel:
        """The model in training."""

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Batch as the encoder reads it."""

    def loss_of(self, encoded: EncoderOutput, batch: Batch) -> Tensor:
        """Mean loss against the true targets."""

    def soft_targets(self, teacher: Any, taught: EncoderOutput, batch: Batch) -> Any:
        """The teacher's predictions of a batch, by its encoder outputs ``taught``; computed without gradients."""

    def soft_loss(self, encoded: EncoderOutput, targets: Any, batch: Batch, temperature: float) -> Tensor:
        """Mean loss against ``soft_targets``; the temperature divides the logits of both models."""


class ObjectiveModule(Student, Protocol):
    """Trained module: the encoder with whatever the objective trains beside it; ``forward(batch)`` gives the loss."""

    @property
    def prediction(self) -> TokenPrediction:
        """The encoder and its output over the token table, which are saved and ranked with."""

    def metrics(self, encoded: EncoderOutput, batch: Batch) -> dict[str, tuple[float, int]]:
        """Sums of metrics over a batch from ``read``, each with the number of its terms."""
