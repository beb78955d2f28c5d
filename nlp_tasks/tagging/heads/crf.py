"""One tag a unit, with learned scores of neighbours (Lample et al. 2016, https://arxiv.org/abs/1603.01360)."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.decoding import tagged
from nlp_tasks.tagging.tags import TagSet


class CRFHead(nn.Module):
    """Linear layer and a conditional random field, in training as in answering on allowed sequences only.

    Args:
        dim: Width of a unit.
        n_types: Types of entities.
        scheme: Tags that it thinks in, ``iobes`` or ``iob2``; files may have others.
    """

    def __init__(self, dim: int, n_types: int, *, scheme: str = "iobes") -> None:
        super().__init__()
        self.tags = TagSet(n_types, scheme)
        self.emissions = nn.Linear(dim, len(self.tags))
        nn.init.zeros_(self.emissions.bias)
        self.crf = CRF(*self.tags.constraints())

    def forward(self, units: Tensor) -> Tensor:
        """Emissions, ``[batch, seq, dim] -> [batch, seq, tags]``."""
        emissions: Tensor = self.emissions(units)
        return emissions

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """Negative log-likelihood of the sentences, divided by the number of their units."""
        likelihood = self.crf.log_likelihood(outputs, self.tags.encode(entities, mask.shape), mask)
        return -(likelihood.sum() / mask.sum()).float()

    def find(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Entities of the best sequences, and their probability, whatever else is in the sentence."""
        return tagged(self.crf, self.tags, outputs, mask)
