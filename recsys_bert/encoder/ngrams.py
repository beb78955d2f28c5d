"""Runs of neighbouring positions as hashed n-grams (fastText, https://arxiv.org/abs/1607.01759)."""

import torch
from torch import Tensor, nn

_FACTOR = 6_364_136_223_846_793_005  # Knuth's multiplier for numbers of 64 bits, which wrap around


class NGrams(nn.Module):
    """Vectors of the runs of two, three, … positions that end at each position, added up.

    A run's row is a hash of its tokens, so that no vocabulary of runs is kept, and different ones may share a row. All
    rows start at 0: until a run has been learned from, it says nothing. A run never holds a later position, so causal
    encoders stay causal.

    Args:
        longest: Positions of the longest run, at least 2.
        rows: Of the table; row 0 stands for "no such run", where a sentence is too short or over.
        width: Of a vector.
    """

    def __init__(self, longest: int, rows: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding(rows, width, padding_idx=0)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Sum of the vectors of the runs that end at each position.

        Args:
            tokens: Integer ``[batch, seq]``.
            mask: bool ``[batch, seq]``, padding on the right.

        Returns:
            ``[batch, seq, width]``.
        """
        first, *others = (self.table(rows) for rows in self.rows(tokens, mask))
        sums: Tensor = first
        for other in others:
            sums = sums + other
        return sums

    def rows(self, tokens: Tensor, mask: Tensor) -> list[Tensor]:
        """Rows of the runs of two, of three, …, each int64 ``[batch, seq]``, 0 where there is none."""
        hashes, found = tokens.long(), []
        for before in range(1, self.longest):
            earlier = nn.functional.pad(tokens, (before, 0))[:, : tokens.shape[1]].long()
            hashes = hashes * _FACTOR + earlier
            mixed = hashes ^ (hashes >> 32)  # the last bits of a product depend on the last bits alone
            rows = 1 + mixed.remainder(self.table.num_embeddings - 1)
            whole = torch.arange(tokens.shape[1], device=tokens.device) >= before
            found.append(rows * (mask & whole))
        return found
