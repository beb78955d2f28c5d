"""Rotary position embeddings of RoFormer (https://arxiv.org/abs/2104.09864)."""

import torch
from torch import Tensor

from recsys_bert.errors import InputError

BASE = 10_000.0


class Rope:
    """Turn queries and keys by angles that grow with the position: only distances count.

    Pairs are ``(i, i + head_dim / 2)``, as in GPT-NeoX and LLaMA; pair i turns by ``position · 10000^(−2i/head_dim)``.

    Args:
        head_dim: Width of one head; even.
        n_heads: Attention heads; not used.
    """

    def __init__(self, head_dim: int, n_heads: int) -> None:
        if head_dim % 2:
            raise InputError(
                f"position is 'rope', which turns pairs, but dim / n_heads is {head_dim}; it must be even. Change dim "
                "or n_heads."
            )
        self.head_dim = head_dim

    def rotate(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """Turn ``[batch, n_heads, seq, head_dim]``; ``position [batch, seq]``, None: 0 to seq − 1."""
        position = torch.arange(x.shape[2], device=x.device)[None] if position is None else position
        rates = BASE ** (-torch.arange(0, self.head_dim, 2, device=x.device) / self.head_dim)
        angles = position[:, None, :, None] * rates
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    def bias(self, distance: Tensor) -> None:
        """Nothing is added to the scores."""
