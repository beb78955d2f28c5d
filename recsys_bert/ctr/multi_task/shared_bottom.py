"""Shared bottom (Caruana 1997, https://doi.org/10.1023/A:1007379606734)."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp
from recsys_bert.ctr.multi_task.towers import Towers


class SharedBottom(nn.Module):
    """One network for all tasks, and a tower a task on top of it.

    Args:
        n_tasks: Tasks.
        dim: Width of the head's vector.
        hidden: Widths of the shared network above the head; none at all: the head is all that is shared.
        tower: Widths of each task's tower.
        dropout: Probability in [0, 1), in all networks.
        batch_norm: Normalise their layers.
    """

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        *,
        hidden: Sequence[int] = (),
        tower: Sequence[int] = (64,),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.n_tasks = n_tasks
        self.bottom = Mlp(dim, hidden, dropout=dropout, batch_norm=batch_norm)
        self.towers = Towers(n_tasks, self.bottom.out_dim, tower, dropout, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[batch, n_tasks]`` of ``[batch, dim]``."""
        logits: Tensor = self.towers([self.bottom(x)] * self.n_tasks)
        return logits
