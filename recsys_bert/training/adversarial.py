"""Adversarial training on an embedding table: FGM and PGD.

FGM perturbs the table once along its gradient (Miyato et al. 2017, https://arxiv.org/abs/1605.07725); PGD takes several
steps, projected onto an epsilon ball (Madry et al. 2018, https://arxiv.org/abs/1706.06083). Both add the gradients at
the perturbed table and restore it bit-exact. One attack per optimiser step, however many batches it accumulates.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.parameter_groups import layer_factors
from recsys_bert.training.sparse_adam import token_tables


class Attack:
    """Adversarial attack: adds the gradients at a perturbed embedding table to the clean ones.

    Args:
        model: The model that is trained.
        config: ``adversarial``.

    Raises:
        InputError: See ``find_table``.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.table = find_table(model, config.adversarial.table)
        self.weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.epsilon = config.adversarial.epsilon
        self.is_fgm = config.adversarial.method == "fgm"
        self.steps = 1 if self.is_fgm else config.adversarial.steps
        self.step_size = self.epsilon if self.is_fgm else config.adversarial.step_size

    def __call__(self, backward: Callable[[], object]) -> None:
        """Attack after the clean backward pass; adds gradients and restores the table.

        Args:
            backward: Runs forward and backward over the same batches once more, accumulating gradients.
        """
        clean_table = self.table.detach().clone()
        clean = [weight.grad for weight in self.weights]
        try:
            for step in range(1, self.steps + 1):
                if not self._perturb(clean_table) and step == 1:
                    return  # a zero or non-finite gradient has no direction
                for weight, gradient in zip(self.weights, clean, strict=True):
                    weight.grad = gradient if step == self.steps else None
                backward()
        finally:
            with torch.no_grad():
                self.table.copy_(clean_table)

    def _perturb(self, clean_table: Tensor) -> bool:
        """Step along the table's gradient, projected onto the epsilon ball; False if there is no gradient to follow."""
        if self.table.grad is None:
            return False
        norm = self.table.grad.norm().item()
        if not math.isfinite(norm) or norm == 0:
            return False
        with torch.no_grad():
            self.table.add_(self.table.grad, alpha=self.step_size / norm)
            if not self.is_fgm:
                delta = self.table - clean_table
                self.table.copy_(clean_table + delta * (self.epsilon / delta.norm().clamp_min(self.epsilon)))
        return True


def check_table(model: nn.Module, config: TrainConfig) -> None:
    """Check, before anything is trained or written, that ``model`` has what the settings apply to.

    Raises:
        InputError: See ``find_table`` and ``token_tables``; or layer decay without layers that are trained.
    """
    if config.adversarial.method != "none":
        find_table(model, config.adversarial.table)
    if config.optimiser.sparse_adam:
        token_tables(model)
    decays = layer_factors(model, config.optimiser.layer_decay)
    if config.optimiser.layer_decay < 1 and not any(p.requires_grad and id(p) in decays for p in model.parameters()):
        raise InputError(
            f"train.optimiser.layer_decay is {config.optimiser.layer_decay}, but this model trains no encoder layers: "
            "it has no effect. Leave it out."
        )


def find_table(model: nn.Module, name: str) -> Tensor:
    """Find the weight of the embedding table in ``model`` whose dotted name is, or ends with, ``name``.

    Raises:
        InputError: No such table, several, or a frozen one.
    """
    kinds = nn.Embedding | nn.EmbeddingBag
    tables = {path: module.weight for path, module in model.named_modules() if isinstance(module, kinds)}
    matches = [name] if name in tables else [path for path in tables if path.endswith(f".{name}")]
    if len(matches) != 1:
        problem = f"fits several tables: {', '.join(matches)}" if matches else "is no embedding table here"
        raise InputError(f"train.adversarial.table {name!r} {problem}; this model has {', '.join(tables) or 'none'}.")
    if not tables[matches[0]].requires_grad:
        raise InputError(f"train.adversarial.table {name!r} is frozen; name a table that is trained.")
    return tables[matches[0]]
