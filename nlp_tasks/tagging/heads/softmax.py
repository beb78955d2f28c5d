"""Softmax over tags for every word, decoded under the scheme's constraints."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.decoding import decode_entities
from nlp_tasks.tagging.tag_set import TagSet
from recsys_bert.errors import InputError
from recsys_bert.losses.classification import multiclass_cross_entropy


class Softmax(nn.Module):
    """Linear layer with cross-entropy; predictions are the best valid tag sequence.

    Args:
        dim: Width of a word.
        n_types: Types of entities.
        scheme: Tag scheme of the outputs, ``iobes`` or ``iob2``; files may have others.
        label_smoothing: Share of each target that goes to all tags alike, in [0, 1).
        focal_gamma: γ of the focal loss (https://arxiv.org/abs/1708.02002); 0 is cross-entropy.
    """

    def __init__(
        self,
        dim: int,
        n_types: int,
        *,
        scheme: str = "iobes",
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1 or focal_gamma < 0:
            raise InputError(
                f"head.options: label_smoothing is {label_smoothing} (in [0, 1)), focal_gamma {focal_gamma} (not "
                "negative)."
            )
        self.tags = TagSet(n_types, scheme)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        self.emissions = nn.Linear(dim, len(self.tags))
        nn.init.zeros_(self.emissions.bias)
        self.allowed = CRF(*self.tags.constraints(), learned=False)

    def forward(self, words: Tensor) -> Tensor:
        """Logits of the tags, ``[batch, seq, dim] -> [batch, seq, tags]``."""
        logits: Tensor = self.emissions(words)
        return logits

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """Mean cross-entropy of the words."""
        targets = self.tags.encode(entities, mask.shape)
        return multiclass_cross_entropy(
            outputs[mask], targets[mask], smoothing=self.label_smoothing, gamma=self.focal_gamma
        )

    def decode(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Entities of the best valid sequences and their marginal probabilities among valid ones."""
        return decode_entities(self.allowed, self.tags, outputs, mask)
