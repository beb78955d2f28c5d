"""Maximum over positions (https://arxiv.org/abs/1705.02364)."""

import torch
from torch import Tensor, nn


class Maximum(nn.Module):
    """Maximum of each channel over tokens.

    Args:
        dim: Width of one position.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Reduce ``[batch, seq, dim]`` to ``[batch, dim]`` where ``mask`` (bool ``[batch, seq]``) holds."""
        return tokens.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
