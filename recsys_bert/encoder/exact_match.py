"""Exact-match feature of DrQA (https://arxiv.org/abs/1704.00051), by the length of the match."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ExactMatch(nn.Module):
    """Embedding of the length of the longest n-gram around a position that also occurs in the other segment.

    Attention can match equal tokens, but has to learn it token by token; a small encoder from random weights does not.
    The table is initialised to 0.

    Args:
        longest: Largest length with an embedding of its own, at least 1; longer matches share it.
        width: Embedding width.
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding(longest + 1, width, padding_idx=0)

    def forward(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """Embed the match lengths.

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
        """Length of the longest shared n-gram around each position, at most ``longest``: int64 ``[batch, seq]``.

        0 if the token is not in the other segment, and on padding.
        """
        equal = tokens[:, :, None] == tokens[:, None, :]
        other = segments[:, :, None] != segments[:, None, :]
        shared = equal & other & (mask[:, :, None] & mask[:, None, :])
        longest_match = shared.any(2).long()
        matches = shared
        for length in range(2, self.longest + 1):
            # an n-gram of this length ends where one shorter by 1 ended a step before, in both segments
            matches = shared & F.pad(matches, (1, 0, 1, 0))[:, :-1, :-1]
            ends = matches.any(2)
            covered = ends
            for _ in range(length - 1):
                ends = F.pad(ends, (0, 1))[:, 1:]
                covered = covered | ends
            longest_match = torch.where(covered, length, longest_match)
        return longest_match
