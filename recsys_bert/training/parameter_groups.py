"""Optimiser parameter groups: layer-wise learning rates and weight decay."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from torch import nn

from recsys_bert.encoder.model import Encoder
from recsys_bert.training.config import TrainConfig


def parameter_groups(
    model: nn.Module, config: TrainConfig, groups: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Group parameters by learning rate and weight decay, which applies to matrices but not to embedding tables.

    Args:
        model: The model.
        config: ``lr`` and ``optimiser``.
        groups: Parameter groups with their learning rate, as ``{"params": […], "lr": 1e-4}``.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    grouped = {id(parameter) for group in groups for parameter in group["params"]}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in grouped]
    factors = layer_factors(model, config.optimiser.layer_decay)
    result = []
    for parameters, lr in [(list(group["params"]), float(group["lr"])) for group in groups] + [(rest, config.lr)]:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        distinct = sorted({factors.get(id(parameter), 1.0) for parameter in trained})
        for factor, decays in product(distinct, (True, False)):
            members = [
                parameter
                for parameter in trained
                if factors.get(id(parameter), 1.0) == factor
                and (parameter.ndim >= 2 and id(parameter) not in tables) is decays
            ]
            if members:
                decay = config.optimiser.weight_decay if decays else 0.0
                result.append({"params": members, "lr": lr * factor, "initial_lr": lr * factor, "weight_decay": decay})
    return result


def layer_factors(model: nn.Module, decay: float) -> dict[int, float]:
    """Layer-wise learning-rate decay: factors by parameter id for embeddings and layers of every encoder in ``model``.

    Of L layers, layer l, counted from 1, has the factor ``decay ** (L + 1 - l)`` and the embeddings have
    ``decay ** (L + 1)``, as in BEiT (https://arxiv.org/abs/2106.08254); fusion, neck and all heads have 1. Shared
    layers count as the last.
    """
    factors: dict[int, float] = {}
    if decay == 1:
        return factors
    for encoder in (module for module in model.modules() if isinstance(module, Encoder)):
        below: list[nn.Module] = [encoder.embeddings, *encoder.layers_in_order()]  # a shared layer's last entry counts
        for depth, module in enumerate(below):
            factors |= {id(parameter): decay ** (len(below) - depth) for parameter in module.parameters()}
    return factors
