"""Attention with a learned query, as in hierarchical attention networks (https://aclanthology.org/N16-1174)."""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Σ softmax(u · tanh(W h + b))_t · h_t over tokens.

    Args:
        dim: Width of one position.
        hidden: Width of W h; None = ``dim``.
    """

    def __init__(self, dim: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.out_dim = dim
        self.hidden = nn.Linear(dim, hidden or dim)
        self.query = nn.Linear(hidden or dim, 1, bias=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Reduce ``[batch, seq, dim]`` to ``[batch, dim]`` where ``mask`` (bool ``[batch, seq]``) holds."""
        scores = self.query(torch.tanh(self.hidden(tokens))).squeeze(-1)
        weights = torch.softmax(scores.float().masked_fill(~mask, -torch.inf), dim=-1).to(tokens.dtype)
        return (weights[:, None, :] @ tokens).squeeze(1)
