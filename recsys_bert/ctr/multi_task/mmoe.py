"""Multi-gate mixture of experts (https://doi.org/10.1145/3219819.3220007)."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp
from recsys_bert.ctr.multi_task.towers import Towers, mix
from recsys_bert.errors import InputError


class MMoE(nn.Module):
    """Experts that all tasks share, mixed for each task by a gate of its own (equations 6 and 7).

    Args:
        n_tasks: Tasks.
        dim: Width of the head's vector, which experts and gates read.
        n_experts: Experts.
        expert: Widths of each expert.
        tower: Widths of each task's tower.
        dropout: Probability in [0, 1), in experts and towers.
        batch_norm: Normalise their layers.

    Raises:
        InputError: No expert, or one without a layer.
    """

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        *,
        n_experts: int = 4,
        expert: Sequence[int] = (64,),
        tower: Sequence[int] = (32,),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if n_experts < 1 or not expert:
            raise InputError(f"n_experts is {n_experts} and expert {list(expert)}; each must be at least 1 long.")
        self.experts = nn.ModuleList(Mlp(dim, expert, dropout=dropout, batch_norm=batch_norm) for _ in range(n_experts))
        self.gates = nn.ModuleList(nn.Linear(dim, n_experts, bias=False) for _ in range(n_tasks))
        self.towers = Towers(n_tasks, expert[-1], tower, dropout, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[batch, n_tasks]`` of ``[batch, dim]``."""
        experts = [expert(x) for expert in self.experts]
        logits: Tensor = self.towers([mix(gate(x).softmax(1), experts) for gate in self.gates])
        return logits
