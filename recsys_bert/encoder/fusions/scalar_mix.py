"""Scalar mix of ELMo (https://arxiv.org/abs/1802.05365): one learned weight for each layer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """γ · Σ softmax(w)_l · h_l over the embedding output and every layer; w starts at 0, γ at 1.

    Args:
        dim: Width of one position.
        n_layers: Number of layers; ``n_layers + 1`` states are mixed.
        layer_norm: Layer norm without affine parameters on every h_l first.
    """

    def __init__(self, dim: int, n_layers: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.layer_norm = layer_norm
        self.mix = nn.Parameter(torch.zeros(n_layers + 1))
        self.gamma = nn.Parameter(torch.ones(()))

    def weights(self, states: Sequence[Tensor] | None = None) -> Tensor:
        """Weight of every state, ``[n_layers + 1]``, summing to 1; the same for all inputs."""
        return torch.softmax(self.mix, dim=0)

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        mixed = torch.zeros_like(states[0])
        for weight, state in zip(self.weights(), states, strict=True):
            mixed = mixed + weight * (F.layer_norm(state, state.shape[-1:]) if self.layer_norm else state)
        return self.gamma * mixed
