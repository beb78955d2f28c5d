"""Per-token fusion, of this project: learned layer weights that depend on the position's state."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TokenMix(nn.Module):
    """Dense(dim)(Σ α_l · h_l) with α_l = Dense(1)(h_l), one Dense(1) for every state.

    Args:
        dim: Width of one position.
        n_layers: Number of layers; ``n_layers + 1`` states are mixed.
        normalise: Softmax of α over the states, so that the output keeps the states' scale at any depth. False: α
            unnormalised, possibly negative.
    """

    def __init__(self, dim: int, n_layers: int, *, normalise: bool = True) -> None:
        super().__init__()
        self.normalise = normalise
        self.scorers = nn.ModuleList(nn.Linear(dim, 1) for _ in range(n_layers + 1))
        self.out = nn.Linear(dim, dim)

    def weights(self, states: Sequence[Tensor]) -> Tensor:
        """α of every state at every position, ``[batch, seq, n_layers + 1]``."""
        alpha = torch.cat([scorer(state) for scorer, state in zip(self.scorers, states, strict=True)], dim=-1)
        return torch.softmax(alpha, dim=-1) if self.normalise else alpha

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        mixed = torch.zeros_like(states[0])
        for alpha, state in zip(self.weights(states).unsqueeze(-1).unbind(-2), states, strict=True):
            mixed = mixed + alpha * state
        return self.out(mixed)
