"""Which parameters learn how quickly, and which decay."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from torch import nn

from recsys_bert.encoder.model import Encoder
from recsys_bert.training.config import TrainConfig


def parameter_groups(model: nn.Module, config: TrainConfig, own: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Split by learning rate, and by whether weight decay applies: to matrices, but not to embedding tables.

    Args:
        model: Whose parameters.
        config: ``lr`` and ``optimiser``.
        own: Parameters with learning rates of their own, as ``{"params": […], "lr": 1e-4}``.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    taken = {id(parameter) for group in own for parameter in group["params"]}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    factors = layer_factors(model, config.optimiser.layer_decay)
    groups = []
    for parameters, lr in [(list(group["params"]), float(group["lr"])) for group in own] + [(rest, config.lr)]:
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        steps = sorted({factors.get(id(parameter), 1.0) for parameter in learned})
        for factor, decays in product(steps, (True, False)):
            members = [
                parameter
                for parameter in learned
                if factors.get(id(parameter), 1.0) == factor
                and (parameter.ndim >= 2 and id(parameter) not in tables) is decays
            ]
            if members:
                decay = config.optimiser.weight_decay if decays else 0.0
                groups.append({"params": members, "lr": lr * factor, "initial_lr": lr * factor, "weight_decay": decay})
    return groups


def layer_factors(model: nn.Module, decay: float) -> dict[int, float]:
    """Factors on the learning rate by parameter id, for what is below the top of every encoder in ``model``.

    Of L layers, layer l, counted from 1, learns at ``decay ** (L + 1 - l)`` and the embeddings at ``decay ** (L + 1)``,
    as in BEiT (https://arxiv.org/abs/2106.08254); fusion, neck and all heads learn at the full rate. Shared layers
    count as the highest.
    """
    factors: dict[int, float] = {}
    if decay == 1:
        return factors
    for encoder in (module for module in model.modules() if isinstance(module, Encoder)):
        below: list[nn.Module] = [encoder.embeddings, *encoder.layers_in_order()]  # a shared layer's last entry counts
        for depth, module in enumerate(below):
            factors |= {id(parameter): decay ** (len(below) - depth) for parameter in module.parameters()}
    return factors
