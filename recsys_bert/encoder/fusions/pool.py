"""Sum, mean or maximum of the last layers, as in BERT's feature-based runs (https://arxiv.org/abs/1810.04805)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError, unknown_name

HOW: dict[str, Callable[[Tensor, int], Tensor]] = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}


class Pool(nn.Module):
    """Pool the last ``last_n`` states, value by value; nothing is learned.

    Args:
        dim: Width of one position; not needed here.
        n_layers: Number of layers.
        how: ``sum``, ``mean`` or ``max``.
        last_n: States to pool, from the last one back, 1 to ``n_layers + 1`` (which takes the embedding output in).
    """

    def __init__(self, dim: int, n_layers: int, *, how: str = "mean", last_n: int = 2) -> None:
        super().__init__()
        if how not in HOW:
            raise unknown_name("way to pool", how, HOW)
        if not 1 <= last_n <= n_layers + 1:
            raise InputError(f"last_n is {last_n}; with n_layers {n_layers} it must lie in 1 to {n_layers + 1}.")
        self.how = how
        self.last_n = last_n

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        return HOW[self.how](torch.stack(tuple(states[-self.last_n :])), 0)
