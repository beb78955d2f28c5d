"""Towers: one network a task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp


class Towers(nn.Module):
    """One feed-forward network with one output for each task.

    Args:
        n_tasks: Tasks.
        dim: Width of a task's input.
        hidden: Widths of each network; none at all leaves a linear output.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the networks' layers.
    """

    def __init__(self, n_tasks: int, dim: int, hidden: Sequence[int], dropout: float, batch_norm: bool) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(Mlp(dim, hidden, dropout=dropout, batch_norm=batch_norm) for _ in range(n_tasks))
        self.out = nn.ModuleList(nn.Linear(hidden[-1] if hidden else dim, 1) for _ in range(n_tasks))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Turn one ``[batch, dim]`` a task into logits ``[batch, n_tasks]``."""
        return torch.cat([out(net(x)) for net, out, x in zip(self.hidden, self.out, inputs, strict=True)], 1)


def mix(weights: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """Weighted sum of experts.

    Args:
        weights: ``[batch, n_experts]``.
        experts: One ``[batch, width]`` an expert.

    Returns:
        ``[batch, width]``.
    """
    return torch.einsum("be,bew->bw", weights, torch.stack(list(experts), 1))
