"""MRC tagging: start, end and span match for one query per type (https://aclanthology.org/2020.acl-main.519)."""

from math import inf

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError

_START, _END, _MATCH = range(3)  # first column of each in the outputs


class MRC(nn.Module):
    """Sigmoids for starts, for ends, and for matches of a start and an end.

    The match of words i ≤ j is ``v · GELU(W₁ h_i + W₂ h_j)``, as in the authors' code (a plain sum, as in the paper,
    cannot distinguish a true pair from the start of one answer with the end of another); it is computed and learned
    only for pairs of true or predicted starts and ends.

    Args:
        dim: Width of a word.
        n_types: Types of entities; every one has its own query, and they share these weights.
        nested: Learn and predict nested entities; else the outermost ones, without overlaps.
        start_weight: Weight of the loss of starts; above 0, as the others.
        end_weight: Weight of the loss of ends.
        match_weight: Weight of the loss of pairs.
        match_width: Dimension of a pair's vector.
    """

    mrc = True
    """An example is a sentence with the query of one type; the type of its entities is 0."""

    def __init__(
        self,
        dim: int,
        n_types: int,
        *,
        nested: bool = False,
        start_weight: float = 1.0,
        end_weight: float = 1.0,
        match_weight: float = 0.1,
        match_width: int = 64,
    ) -> None:
        super().__init__()
        self.nested, self.weights = nested, (start_weight, end_weight, match_weight)
        for name, weight in zip(("start", "end", "match"), self.weights, strict=True):
            if not 0 < weight < inf:
                raise InputError(f"head.options: {name}_weight is {weight}; it must be above 0.")
        if match_width < 1:
            raise InputError(f"head.options: match_width is {match_width}; it must be at least 1.")
        self.scores = nn.Linear(dim, _MATCH + 2 * match_width)
        self.match = nn.Linear(match_width, 1)
        nn.init.zeros_(self.scores.bias)

    def forward(self, words: Tensor) -> Tensor:
        """Logits of start and end, both sides of a match: ``[batch, seq, dim] -> [batch, seq, 2 + 2 · width]``."""
        scores: Tensor = self.scores(words)
        return scores.float()

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """Weighted sum of the mean over words for starts and for ends, and of the mean over pairs."""
        sentence, start, stop = entities[:, :3].long().unbind(1)
        starts, ends = (outputs.new_zeros(mask.shape) for _ in range(2))
        starts[sentence, start] = 1.0
        ends[sentence, stop - 1] = 1.0
        pairs = outputs.new_zeros(*mask.shape, mask.shape[1])
        pairs[sentence, start, stop - 1] = 1.0
        proposed = _pairs((outputs[..., _START] > 0) | (starts > 0), (outputs[..., _END] > 0) | (ends > 0), mask)
        candidates = proposed.nonzero(as_tuple=True)
        losses = (
            F.binary_cross_entropy_with_logits(outputs[..., _START][mask], starts[mask]),
            F.binary_cross_entropy_with_logits(outputs[..., _END][mask], ends[mask]),
            F.binary_cross_entropy_with_logits(self._match(outputs, *candidates), pairs[candidates], reduction="sum")
            / max(1, len(candidates[0])),
        )
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()

    def decode(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pairs of a predicted start and a predicted end that match, and the probability of the match."""
        candidates = _pairs(outputs[..., _START] > 0, outputs[..., _END] > 0, mask).nonzero(as_tuple=True)
        match = self._match(outputs, *candidates)
        sentence, start, last = (index[match > 0].cpu().numpy() for index in candidates)
        entities = np.stack([sentence, start, last + 1, np.zeros_like(start)], axis=1)
        return entities, match[match > 0].double().sigmoid().cpu().numpy()

    def _match(self, outputs: Tensor, sentence: Tensor, start: Tensor, last: Tensor) -> Tensor:
        """Match logits of pairs ``[k]``."""
        left, right = outputs[..., _MATCH:].chunk(2, dim=-1)
        pairs: Tensor = self.match(F.gelu(left[sentence, start] + right[sentence, last]))
        return pairs.squeeze(1).float()


def _pairs(starts: Tensor, ends: Tensor, mask: Tensor) -> Tensor:
    """Pairs of a start and an end at or behind it, bool ``[batch, seq, seq]``."""
    return ((starts & mask)[:, :, None] & (ends & mask)[:, None, :]).triu()
