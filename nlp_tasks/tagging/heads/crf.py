"""Linear-chain CRF over tags (Lample et al. 2016, https://arxiv.org/abs/1603.01360)."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.tagging.crf import CRF
from nlp_tasks.tagging.decoding import decode_entities
from nlp_tasks.tagging.tag_set import TagSet


class CRFHead(nn.Module):
    """Linear emissions and a CRF over valid tag sequences, in training and in decoding.

    Args:
        dim: Width of a word.
        n_types: Types of entities.
        scheme: Tag scheme of the outputs, ``iobes`` or ``iob2``; files may have others.
    """

    def __init__(self, dim: int, n_types: int, *, scheme: str = "iobes") -> None:
        super().__init__()
        self.tags = TagSet(n_types, scheme)
        self.emissions = nn.Linear(dim, len(self.tags))
        nn.init.zeros_(self.emissions.bias)
        self.crf = CRF(*self.tags.constraints())

    def forward(self, words: Tensor) -> Tensor:
        """Emissions, ``[batch, seq, dim] -> [batch, seq, tags]``."""
        emissions: Tensor = self.emissions(words)
        return emissions

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """Negative log-likelihood of the sentences, divided by the number of words."""
        likelihood = self.crf.log_likelihood(outputs, self.tags.encode(entities, mask.shape), mask)
        return -(likelihood.sum() / mask.sum()).float()

    def decode(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Viterbi entities and their marginal probabilities."""
        return decode_entities(self.crf, self.tags, outputs, mask)
