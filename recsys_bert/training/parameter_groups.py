"""Which parameters learn how quickly, and which decay."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from recsys_bert.training.config import TrainConfig


def parameter_groups(model: nn.Module, config: TrainConfig, own: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Split by learning rate, and by whether weight decay applies: to matrices, but not to embedding tables.

    Args:
        model: Whose parameters.
        config: ``lr`` and ``weight_decay``.
        own: Parameters with learning rates of their own, as ``{"params": […], "lr": 1e-4}``.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    taken = {id(parameter) for group in own for parameter in group["params"]}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    groups = []
    for parameters, lr in [(list(group["params"]), float(group["lr"])) for group in own] + [(rest, config.lr)]:
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        decayed = [parameter for parameter in learned if parameter.ndim >= 2 and id(parameter) not in tables]
        chosen = {id(parameter) for parameter in decayed}
        plain = [parameter for parameter in learned if id(parameter) not in chosen]
        for members, decay in ((decayed, config.weight_decay), (plain, 0.0)):
            if members:
                groups.append({"params": members, "lr": lr, "initial_lr": lr, "weight_decay": decay})
    return groups
