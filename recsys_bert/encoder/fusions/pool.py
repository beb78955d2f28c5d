"""Sum, mean or maximum over the last layers, as in BERT's feature-based approach (https://arxiv.org/abs/1810.04805)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError, unknown_name

POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}


class Pool(nn.Module):
    """Pool the last ``last_n`` states element-wise; no parameters.

    Args:
        dim: Width of one position; not needed here.
        n_layers: Number of layers.
        how: ``sum``, ``mean`` or ``max``.
        last_n: States to pool, counted from the last, 1 to ``n_layers + 1`` (the embedding output included).
    """

    def __init__(self, dim: int, n_layers: int, *, how: str = "mean", last_n: int = 2) -> None:
        super().__init__()
        if how not in POOLINGS:
            raise unknown_name("pooling", how, POOLINGS)
        if not 1 <= last_n <= n_layers + 1:
            raise InputError(
                f"fusion 'pool': last_n is {last_n}; with n_layers {n_layers} it must lie in 1 to {n_layers + 1}."
            )
        self.how = how
        self.last_n = last_n

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        return POOLINGS[self.how](torch.stack(tuple(states[-self.last_n :])), 0)
