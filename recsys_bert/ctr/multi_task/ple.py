"""Progressive layered extraction (https://doi.org/10.1145/3383313.3412236)."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp
from recsys_bert.ctr.multi_task.towers import Towers, mix
from recsys_bert.errors import InputError


class Extraction(nn.Module):
    """One level: experts of each task and shared ones, and a gate for every output.

    A task's gate mixes its own experts and the shared ones; the shared gate, which the last level lacks, mixes all.

    Args:
        n_tasks: Tasks.
        dim: Width of the inputs.
        hidden: Widths of each expert.
        n_specific: Experts of each task.
        n_shared: Shared experts.
        last: No shared output.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the experts' layers.
    """

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        hidden: Sequence[int],
        n_specific: int,
        n_shared: int,
        last: bool,
        dropout: float,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        counts = [*[n_specific] * n_tasks, n_shared]
        self.experts = nn.ModuleList(
            nn.ModuleList(Mlp(dim, hidden, dropout=dropout, batch_norm=batch_norm) for _ in range(count))
            for count in counts
        )
        sizes = [*[n_specific + n_shared] * n_tasks, *([] if last else [sum(counts)])]
        self.gates = nn.ModuleList(nn.Linear(dim, size, bias=False) for size in sizes)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Turn ``[batch, dim]`` of each task, then the shared one, into as many of the experts' width."""
        networks: Iterable[Iterable[nn.Module]] = self.experts  # type: ignore[assignment]
        groups = [[expert(x) for expert in group] for group, x in zip(networks, inputs, strict=True)]
        *own, shared = groups
        pools = [*[experts + shared for experts in own], [expert for group in groups for expert in group]]
        return [mix(gate(x).softmax(1), pool) for gate, x, pool in zip(self.gates, inputs, pools, strict=False)]


class PLE(nn.Module):
    """Levels of shared and task-specific experts, then a tower a task.

    Differs from ``MMoE`` in the experts that only one task reads, so that tasks which pull apart do not spoil each
    other. One level is the paper's CGC.

    Args:
        n_tasks: Tasks.
        dim: Width of the head's vector, which the first level reads.
        n_levels: Levels.
        n_specific: Experts of each task, at every level.
        n_shared: Shared experts, at every level.
        expert: Widths of each expert.
        tower: Widths of each task's tower.
        dropout: Probability in [0, 1), in experts and towers.
        batch_norm: Normalise their layers.

    Raises:
        InputError: A count is below 1, or an expert has no layer.
    """

    def __init__(
        self,
        n_tasks: int,
        dim: int,
        *,
        n_levels: int = 2,
        n_specific: int = 2,
        n_shared: int = 2,
        expert: Sequence[int] = (64,),
        tower: Sequence[int] = (32,),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if min(n_levels, n_specific, n_shared) < 1 or not expert:
            raise InputError(
                f"n_levels is {n_levels}, n_specific {n_specific}, n_shared {n_shared} and expert {list(expert)}; "
                "each must be at least 1, and an expert needs a layer."
            )
        self.n_tasks = n_tasks
        self.levels = nn.ModuleList(
            Extraction(
                n_tasks,
                expert[-1] if level else dim,
                expert,
                n_specific,
                n_shared,
                level == n_levels - 1,
                dropout,
                batch_norm,
            )
            for level in range(n_levels)
        )
        self.towers = Towers(n_tasks, expert[-1], tower, dropout, batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[batch, n_tasks]`` of ``[batch, dim]``."""
        outputs = [x] * (self.n_tasks + 1)
        for level in self.levels:
            outputs = level(outputs)
        logits: Tensor = self.towers(outputs)
        return logits
