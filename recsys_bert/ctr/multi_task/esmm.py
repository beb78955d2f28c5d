"""Entire space multi-task model (https://arxiv.org/abs/1804.07931)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_bert.ctr.multi_task.towers import Towers


class ESMM(nn.Module):
    """A chain of tasks, learned on all impressions: P(buy) = P(click) · P(buy | click).

    A tower a task gives the probability of its label where the label before it is 1; what is learned and predicted is
    the product along the chain, so that a conversion rate sees every impression and not the clicked ones alone. The
    paper has two tasks; here each further label continues the chain. The paper shares embeddings only: that is a head
    whose network is empty (``mlp`` with ``hidden = []``).

    Args:
        n_tasks: Tasks; each presupposes the one before it.
        dim: Width of the head's vector.
        tower: Widths of each task's tower.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the towers' layers.
    """

    chained = True

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        *,
        tower: Sequence[int] = (64,),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.n_tasks = n_tasks
        self.towers = Towers(n_tasks, dim, tower, dropout, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the products ``[batch, n_tasks]``, for ``[batch, dim]``."""
        return chain_logits(self.towers([x] * self.n_tasks).float())


def chain_logits(steps: Tensor) -> Tensor:
    """Logits of the running products of probabilities.

    Args:
        steps: Logits of each task where the one before it happened, ``[batch, n_tasks]``.

    Returns:
        ``logit(Π_{s ≤ t} sigmoid(steps_s))``, ``[batch, n_tasks]``, finite for any finite ``steps``.
    """
    # 1 − pq = (1 − p) + p (1 − q): no difference of near-equal numbers, in either direction
    positive = F.logsigmoid(steps).cumsum(1)
    negative = F.logsigmoid(-steps[:, :1])
    columns = [negative]
    for task in range(1, steps.shape[1]):
        step = positive[:, task - 1 : task] + F.logsigmoid(-steps[:, task : task + 1])
        columns.append(torch.logaddexp(columns[-1], step))
    return positive - torch.cat(columns, 1)
