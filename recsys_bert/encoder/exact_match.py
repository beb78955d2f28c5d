"""What two segments have in common: the exact-match feature of DrQA (https://arxiv.org/abs/1704.00051), for runs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ExactMatch(nn.Module):
    """A vector for the length of the longest run around a position that stands in the other segment too.

    Attention can find equal tokens by itself, but has to learn it token by token; a small encoder, from random weights,
    does not. All vectors start at 0: until one has been learned from, it says nothing.

    Args:
        longest: Length from which on runs count as equally long, at least 1.
        width: Of a vector.
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding(longest + 1, width, padding_idx=0)

    def forward(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Vectors of the lengths.

        Args:
            tokens: Integer ``[batch, seq]``.
            mask: bool ``[batch, seq]``.
            segments: ``[batch, seq]``.

        Returns:
            ``[batch, seq, width]``.
        """
        vectors: Tensor = self.table(self.lengths(tokens, mask, segments))
        return vectors

    def lengths(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Positions of the longest shared run that a position is part of, at most ``longest``, int64 ``[batch, seq]``.

        0 where the token is not in the other segment, and on padding.
        """
        equal = tokens[:, :, None] == tokens[:, None, :]
        other = segments[:, :, None] != segments[:, None, :]
        shared = equal & other & (mask[:, :, None] & mask[:, None, :])
        found = shared.any(2).long()
        runs = shared
        for length in range(2, self.longest + 1):
            # a run of this length ends where one shorter by 1 ended a step before, on both sides
            runs = shared & F.pad(runs, (1, 0, 1, 0))[:, :-1, :-1]
            ends = runs.any(2)
            covered = ends
            for _ in range(length - 1):
                ends = F.pad(ends, (0, 1))[:, 1:]
                covered = covered | ends
            found = torch.where(covered, length, found)
        return found
