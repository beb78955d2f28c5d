"""One optimiser step over a window of batches."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from recsys_bert.training.adversarial import Attack
from recsys_bert.training.averaging import WeightAverage
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.schedules import lr_factor
from recsys_bert.training.sparse_adam import check_gradients, clip_norm, mean_over_processes, row_tables

Batch = Mapping[str, "np.ndarray | Tensor | int"]


@dataclass
class OptimiserStep:
    """Optimiser step: learning rates, forward and backward over every batch, attack, clipping, update."""

    model: nn.Module
    """Wrapped by accelerate."""

    optimiser: Any
    """Wrapped by accelerate."""

    accelerator: Accelerator
    """Device, precision and processes."""

    config: TrainConfig
    """The settings."""

    total_steps: int
    """Optimiser steps at which the schedule ends."""

    attack: Attack | None
    """Adversarial attack, if any."""

    average: WeightAverage | None
    """Weight average, if any."""

    def __post_init__(self) -> None:
        self.tables = row_tables(self.model, self.config)
        self.base_lrs = [group["initial_lr"] for group in self.optimiser.param_groups]

    def __call__(self, window: Sequence[Batch], step: int) -> list[tuple[float, float]]:
        """Take step ``step``, counted from 0, over the targets of ``window`` on all processes.

        Returns:
            Mean loss and weight of each batch, on this process.
        """
        self._set_rates(step)
        counts = [batch_weight(batch) for batch in window]
        total = over_all(self.accelerator, sum(counts))[0] or 1.0
        # DDP averages over processes, so each share is scaled up by their number first
        shares = [count * self.accelerator.num_processes / total for count in counts]
        losses = self._backward(window, shares)
        if self.attack:
            self.attack(lambda: self._backward(window, shares))
        if self.config.optimiser.sparse_adam:
            check_gradients(self.model)
        if self.tables and self.accelerator.num_processes > 1:
            mean_over_processes(self.accelerator, self.tables)
        if self.config.optimiser.clip_norm:
            clip = clip_norm if self.tables else self.accelerator.clip_grad_norm_
            clip(self.model.parameters(), self.config.optimiser.clip_norm)
        if self.average:
            self.average.before_step()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return [(loss.item(), count) for loss, count in zip(losses, counts, strict=True)]

    def _backward(self, window: Sequence[Batch], shares: Sequence[float]) -> list[Tensor]:
        losses = []
        for i, (batch, share) in enumerate(zip(window, shares, strict=True)):
            hold = self.accelerator.no_sync(self.model) if i + 1 < len(window) else contextlib.nullcontext()
            with hold:
                loss = self.model(to_device(batch, self.accelerator.device))
                self.accelerator.backward(loss * share)
            losses.append(loss.detach())
        return losses

    def _set_rates(self, step: int) -> None:
        factor = lr_factor(step, self.config, self.total_steps)
        for group, lr in zip(self.optimiser.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * factor


def over_all(accelerator: Accelerator, *values: float) -> list[float]:
    """Sum each value over all processes."""
    if accelerator.num_processes == 1:
        return list(values)
    local = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    summed: list[float] = accelerator.reduce(local).tolist()
    return summed


def batch_weight(batch: Batch) -> float:
    """Weight of a batch: ``total_weight`` of its targets, else ``n_targets``, else its number of examples."""
    for name in ("total_weight", "n_targets"):
        if (weight := batch.get(name)) is not None:
            return float(weight)
    first = next(iter(batch.values()))
    return 1 if isinstance(first, int) else len(first)


def to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """Move a batch's arrays to a device as tensors; plain numbers stay."""
    moved: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        moved[name] = value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
    return moved
