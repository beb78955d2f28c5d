"""Hashed n-grams (fastText, https://arxiv.org/abs/1607.01759)."""

import torch
from torch import Tensor, nn

_FACTOR = 6_364_136_223_846_793_005  # Knuth's 64-bit multiplier; products wrap around


class NGrams(nn.Module):
    """Sum of the embeddings of the bigram, trigram, … that end at each position.

    The row of an n-gram is a hash of its tokens: no vocabulary of n-grams, and different ones may share a row. The
    table is initialised to 0. An n-gram holds no later position, so causal encoders stay causal.

    Args:
        longest: Tokens of the longest n-gram, at least 2.
        rows: Rows of the table; row 0 = no such n-gram (too few tokens before, or padding).
        width: Embedding width.
    """

    def __init__(self, longest: int, rows: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding(rows, width, padding_idx=0)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Sum the embeddings of the n-grams that end at each position.

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
        """Rows of the bigrams, trigrams, …, each int64 ``[batch, seq]``; 0 = none."""
        hashes, rows_by_length = tokens.long(), []
        for before in range(1, self.longest):
            earlier = nn.functional.pad(tokens, (before, 0))[:, : tokens.shape[1]].long()
            hashes = hashes * _FACTOR + earlier
            mixed = hashes ^ (hashes >> 32)  # the last bits of a product depend on the last bits alone
            rows = 1 + mixed.remainder(self.table.num_embeddings - 1)
            complete = torch.arange(tokens.shape[1], device=tokens.device) >= before
            rows_by_length.append(rows * (mask & complete))
        return rows_by_length
