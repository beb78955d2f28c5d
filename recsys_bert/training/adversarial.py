"""Adversarial training on an embedding table: FGM and PGD.

FGM moves the table once along its gradient (Miyato et al. 2017, https://arxiv.org/abs/1605.07725); PGD takes several
small moves and never leaves a ball (Madry et al. 2018, https://arxiv.org/abs/1706.06083). Both then learn from the
moved table too, and put it back to the last bit. One optimiser step is one attack, however many batches it accumulates.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.sparse_adam import token_tables


class Attack:
    """Adds the gradients at a moved embedding table to those at the true one.

    Args:
        model: All of its parameters gather gradients.
        config: ``adversarial``.

    Raises:
        InputError: No table has that name, several have, or it is frozen.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.table = find_table(model, config.adversarial.table)
        self.weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.radius = config.adversarial.epsilon
        self.is_fgm = config.adversarial.method == "fgm"
        self.moves = 1 if self.is_fgm else config.adversarial.steps
        self.length = self.radius if self.is_fgm else config.adversarial.step_size

    def __call__(self, backward: Callable[[], object]) -> None:
        """Run the attack once the true gradients are there; adds to them and leaves the table as it was.

        Args:
            backward: Runs forward and backward again over the same batches, adding to the gradients there are.
        """
        true = self.table.detach().clone()
        clean = [weight.grad for weight in self.weights]
        try:
            for move in range(1, self.moves + 1):
                if not self._move(true) and move == 1:
                    return  # a gradient of zero, or none that is a number, points nowhere
                for weight, gradient in zip(self.weights, clean, strict=True):
                    weight.grad = gradient if move == self.moves else None
                backward()
        finally:
            with torch.no_grad():
                self.table.copy_(true)

    def _move(self, true: Tensor) -> bool:
        """Go ``length`` along the table's gradient, but no further than ``radius`` from ``true``."""
        if self.table.grad is None:
            return False
        norm = self.table.grad.norm().item()
        if not math.isfinite(norm) or norm == 0:
            return False
        with torch.no_grad():
            self.table.add_(self.table.grad, alpha=self.length / norm)
            if not self.is_fgm:
                away = self.table - true
                self.table.copy_(true + away * (self.radius / away.norm().clamp_min(self.radius)))
        return True


def check_table(model: nn.Module, config: TrainConfig) -> None:
    """Refuse, before anything is trained or written, settings that name no table of ``model``.

    Raises:
        InputError: As ``find_table`` and ``token_tables``.
    """
    if config.adversarial.method != "none":
        find_table(model, config.adversarial.table)
    if config.optimiser.sparse_adam:
        token_tables(model)


def find_table(model: nn.Module, name: str) -> Tensor:
    """Weight of the one embedding table in ``model`` whose dotted name is ``name``, or ends with it.

    Raises:
        InputError: None or several, or it is frozen.
    """
    kinds = nn.Embedding | nn.EmbeddingBag
    tables = {path: module.weight for path, module in model.named_modules() if isinstance(module, kinds)}
    found = [path for path in tables if path == name or path.endswith(f".{name}")]
    if len(found) != 1:
        said = f"fits several tables: {', '.join(found)}" if found else "is no embedding table here"
        raise InputError(f"train.adversarial.table {name!r} {said}; this model has {', '.join(tables) or 'none'}.")
    if not tables[found[0]].requires_grad:
        raise InputError(f"train.adversarial.table {name!r} is frozen; name a table that is trained.")
    return tables[found[0]]
