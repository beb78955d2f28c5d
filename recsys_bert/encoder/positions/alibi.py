"""Attention with linear biases, ALiBi (https://arxiv.org/abs/2108.12409)."""

import math

import torch
from torch import Tensor


class Alibi:
    """Lower each score by the distance between query and key times the head's slope; nothing is learned.

    Slopes fall geometrically, from ``2^(−8/n)`` to ``2^(−8)`` for n heads; where n is no power of two, those of the
    power below and then every other one of the power above, as in the authors' code. Without causal attention later
    keys count as far as earlier ones.

    Args:
        head_dim: Width of one head; not used.
        n_heads: Attention heads.
    """

    def __init__(self, head_dim: int, n_heads: int) -> None:
        power = 2 ** math.floor(math.log2(n_heads))
        self.slopes = [*_slopes(power), *_slopes(2 * power)[::2][: n_heads - power]]

    def rotate(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """Queries and keys stay as they are."""
        return x

    def bias(self, distance: Tensor) -> Tensor:
        """Minus slope times distance: ``[batch, query, key]`` → ``[batch, n_heads, query, key]``."""
        return -torch.tensor(self.slopes, device=distance.device)[:, None, None] * distance.abs()[:, None]


def _slopes(n: int) -> list[float]:
    return [2 ** (-8 * head / n) for head in range(1, n + 1)]
