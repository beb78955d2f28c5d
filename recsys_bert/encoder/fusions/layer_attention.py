"""Attention over layers, BERT-Attention of Song et al. (https://arxiv.org/abs/2002.04815)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError


class LayerAttention(nn.Module):
    """W · Σ softmax(q · h)_l · h_l over the layers' outputs, at every position; q is learned and starts at 0.

    Differs from ``TokenMix`` in having one query for all layers, and in leaving the embedding output aside.

    Args:
        dim: Width of one position.
        n_layers: Number of layers, at least 1.

    Raises:
        InputError: There is no layer to attend to.
    """

    def __init__(self, dim: int, n_layers: int) -> None:
        super().__init__()
        if n_layers < 1:
            raise InputError(f"n_layers is {n_layers}; layer_attention needs at least 1. Without any, take 'last'.")
        self.query = nn.Parameter(torch.zeros(dim))
        self.out = nn.Linear(dim, dim, bias=False)

    def weights(self, states: Sequence[Tensor]) -> Tensor:
        """Share of every layer at every position, ``[batch, seq, n_layers]``."""
        return self._shares(torch.stack(tuple(states[1:]), dim=-2))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        layers = torch.stack(tuple(states[1:]), dim=-2)
        return self.out((self._shares(layers).unsqueeze(-2) @ layers).squeeze(-2))

    def _shares(self, layers: Tensor) -> Tensor:
        return torch.softmax(layers @ self.query, dim=-1)
