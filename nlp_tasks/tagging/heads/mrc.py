"""Entities as answers to a question a type: start, end, and a match of the two (https://aclanthology.org/2020.acl-main.519)."""

from math import inf

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError

_START, _END, _MATCH = range(3)  # where each begins among the outputs


class Reading(nn.Module):
    """Is a unit the start of an answer, is one the end, and does this start belong to that end.

    All three are sigmoids of their own. The match of units i ≤ j is ``v · GELU(W₁ h_i + W₂ h_j)``, as in the
    authors' code (a plain sum, as in the paper, cannot tell the start of one answer with the end of another from a true
    pair); it is made, and learned, for pairs alone that true or likely starts and ends propose.

    Args:
        dim: Width of a unit.
        n_types: Types of entities; every one has its own question, and they share these weights.
        nested: Learn and find entities within others; else the outermost ones, and no two that overlap.
        start_weight: Of the loss of starts; above 0, as the others.
        end_weight: Of the loss of ends.
        match_weight: Of the loss of pairs.
        match_width: Of the vector of a pair.
    """

    asks = True
    """An example is a sentence with the question of one type; the type in its entities is 0."""

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

    def forward(self, units: Tensor) -> Tensor:
        """Logits of start and end and both sides of a match, ``[batch, seq, dim] -> [batch, seq, 2 + 2 · width]``."""
        scores: Tensor = self.scores(units)
        return scores.float()

    def loss(self, outputs: Tensor, mask: Tensor, entities: Tensor) -> Tensor:
        """Weighted sum of the mean over units for starts and for ends, and of the mean over pairs."""
        sentence, start, stop = entities[:, :3].long().unbind(1)
        starts, ends = (outputs.new_zeros(mask.shape) for _ in range(2))
        starts[sentence, start] = 1.0
        ends[sentence, stop - 1] = 1.0
        pairs = outputs.new_zeros(*mask.shape, mask.shape[1])
        pairs[sentence, start, stop - 1] = 1.0
        proposed = _pairs((outputs[..., _START] > 0) | (starts > 0), (outputs[..., _END] > 0) | (ends > 0), mask)
        found = proposed.nonzero(as_tuple=True)
        losses = (
            F.binary_cross_entropy_with_logits(outputs[..., _START][mask], starts[mask]),
            F.binary_cross_entropy_with_logits(outputs[..., _END][mask], ends[mask]),
            F.binary_cross_entropy_with_logits(self._match(outputs, *found), pairs[found], reduction="sum")
            / max(1, len(found[0])),
        )
        return torch.stack([weight * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()

    def find(self, outputs: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pairs of a likely start and a likely end that likely match, and the probability of the match."""
        found = _pairs(outputs[..., _START] > 0, outputs[..., _END] > 0, mask).nonzero(as_tuple=True)
        match = self._match(outputs, *found)
        sentence, start, last = (place[match > 0].cpu().numpy() for place in found)
        entities = np.stack([sentence, start, last + 1, np.zeros_like(start)], axis=1)
        return entities, match[match > 0].double().sigmoid().cpu().numpy()

    def _match(self, outputs: Tensor, sentence: Tensor, start: Tensor, last: Tensor) -> Tensor:
        """Logits of pairs ``[k]``."""
        left, right = outputs[..., _MATCH:].chunk(2, dim=-1)
        pairs: Tensor = self.match(F.gelu(left[sentence, start] + right[sentence, last]))
        return pairs.squeeze(1).float()


def _pairs(starts: Tensor, ends: Tensor, mask: Tensor) -> Tensor:
    """Pairs of a start and an end that is not before it, bool ``[batch, seq, seq]``."""
    return ((starts & mask)[:, :, None] & (ends & mask)[:, None, :]).triu()
