"""Second losses on two segments of a text: next-sentence prediction (BERT) and sentence order (ALBERT).

https://arxiv.org/abs/1810.04805 and https://arxiv.org/abs/1909.11942. The first token's output is classified; the loss
is added to that of any objective.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.objectives.module import Batch, ObjectiveModule
from recsys_bert.objectives.token_prediction import TokenPrediction

NO_PAIR = -100
"""Label of a text that has no second segment."""

S = TypeVar("S")
"""A segment, whatever it is made of."""


class SecondLoss(Protocol):
    """Binary classification of a pair of segments."""

    weight: float
    """Weight of the loss, against 1 for the objective's."""

    needs_documents: bool
    """Whether the second segment may come from another document, so that there must be two."""

    def pair(self, first: S, second: S, elsewhere: Callable[[], S], random: np.random.Generator) -> tuple[list[S], int]:
        """Arrange two consecutive segments.

        Args:
            first: The first one.
            second: The one after it.
            elsewhere: Draws a segment of another document.
            random: Source of randomness.

        Returns:
            The two segments as the encoder reads them, and the label: 0 as they were, 1 otherwise.
        """


def check_weight(weight: float) -> None:
    """Refuse a weight that would leave nothing of the loss."""
    if not weight > 0:
        raise InputError(f"second_loss_options: weight is {weight}; it must be above 0. Or take second_loss 'none'.")


@dataclass(frozen=True, kw_only=True)
class SentenceOrder:
    """Sentence order prediction: the two segments are swapped with probability 0.5.

    Args:
        weight: Weight of the loss, against 1 for the objective's.
    """

    weight: float = 1.0

    needs_documents: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def pair(self, first: S, second: S, elsewhere: Callable[[], S], random: np.random.Generator) -> tuple[list[S], int]:
        """Swap the segments or leave them. See ``SecondLoss``."""
        return ([second, first], 1) if random.random() < 0.5 else ([first, second], 0)


@dataclass(frozen=True, kw_only=True)
class NextSentence:
    """Next-sentence prediction: the second segment is another document's with probability 0.5.

    Args:
        weight: Weight of the loss, against 1 for the objective's.
    """

    weight: float = 1.0

    needs_documents: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def pair(self, first: S, second: S, elsewhere: Callable[[], S], random: np.random.Generator) -> tuple[list[S], int]:
        """Replace the second segment or leave it. See ``SecondLoss``."""
        return ([first, elsewhere()], 1) if random.random() < 0.5 else ([first, second], 0)


class PairClassification(nn.Module):
    """Any objective's module with a second loss beside it, on ``batch["pair"]``.

    Args:
        objective: The objective's module.
        weight: Weight of the second loss.

    Raises:
        InputError: The encoder tells no segments apart, or its first token sees no other.
    """

    def __init__(self, objective: ObjectiveModule, weight: float) -> None:
        super().__init__()
        encoder = objective.prediction.encoder
        if encoder.config.n_segments < 2:
            raise InputError(f"a second loss needs encoder.n_segments 2; it is {encoder.config.n_segments}.")
        if encoder.config.causal:
            raise InputError(
                "a second loss reads the output at the first token, which sees no other one in a causal encoder. Take "
                "an objective with bidirectional attention, such as 'masked', or second_loss 'none'."
            )
        self.objective, self.weight, width = objective, weight, encoder.out_dim
        self.pair = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))

    @property
    def prediction(self) -> TokenPrediction:
        """The objective's."""
        return self.objective.prediction

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Loss of the objective plus the weighted one of pairs."""
        batch = self.read(batch)
        return self.loss_of(self.prediction.encode(batch), batch)

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the objective reads it."""
        return self.objective.read(batch)

    def loss_of(self, encoded: EncoderOutput, batch: Batch) -> Tensor:
        """Sum of both losses; that of pairs is 0 without any."""
        logits, labels = self.pair(encoded.tokens[:, 0]), batch["pair"]
        n_pairs = (labels != NO_PAIR).sum().clamp_min(1)
        pairs = F.cross_entropy(logits.float(), labels, ignore_index=NO_PAIR, reduction="sum") / n_pairs
        return self.objective.loss_of(encoded, batch) + self.weight * pairs

    def soft_targets(self, teacher: Any, taught: EncoderOutput, batch: Batch) -> Any:
        """The objective's: pairs are learned from their labels alone."""
        return self.objective.soft_targets(teacher, taught, batch)

    def soft_loss(self, encoded: EncoderOutput, targets: Any, batch: Batch, temperature: float) -> Tensor:
        """The objective's."""
        return self.objective.soft_loss(encoded, targets, batch, temperature)

    def metrics(self, encoded: EncoderOutput, batch: Batch) -> dict[str, tuple[float, int]]:
        """The objective's, and ``pair_accuracy``."""
        pairs = batch["pair"] != NO_PAIR
        right = int((self.pair(encoded.tokens[:, 0]).argmax(dim=1) == batch["pair"])[pairs].sum())
        return self.objective.metrics(encoded, batch) | {"pair_accuracy": (right, int(pairs.sum()))}
