"""Exponential moving average of an embedding table of which few rows change per step."""

import math
from typing import Any

import torch
from torch import Tensor

from recsys_bert.training.sparse_adam import touched


class RowAverage:
    """Lazy EMA: the average of a row is updated only when the row is about to change, or when it is read.

    While a row's weights w are constant, its average a becomes ``a ← w + (a − w) d`` per step, so the product of the
    decays d over many steps suffices. The result equals an EMA of the full table at every step.

    Args:
        weight: The table, ``[rows, dim]``.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.values = weight.new_zeros(0)
        self.log_decay = 0.0  # log of the product of all decays so far
        self.log_decay_at = torch.zeros(0)  # [rows, 1] its value when each row was last updated

    def start(self) -> None:
        """Initialise with the current weights."""
        self.values, self.log_decay = self.weight.detach().clone(), 0.0
        self.log_decay_at = torch.zeros(len(self.weight), 1, dtype=torch.float64, device=self.weight.device)

    def before_change(self) -> None:
        """Update the rows of the table's sparse gradient, before the optimiser changes them."""
        if self.weight.grad is None:
            return
        rows, _ = touched(self.weight)
        self.values[rows] = self._now(self.values[rows], self.weight.detach()[rows], self.log_decay_at[rows])
        self.log_decay_at[rows] = self.log_decay

    def after_step(self, decay: float) -> None:
        """Count a step with this decay."""
        self.log_decay += math.log(max(decay, 1e-30))  # a factor of 1e-30 is 0 in float32

    def value(self) -> Tensor:
        """Average of all rows, ``[rows, dim]``."""
        return self._now(self.values, self.weight.detach(), self.log_decay_at)

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"values": self.values, "log_decay": self.log_decay, "log_decay_at": self.log_decay_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of ``state_dict``."""
        self.values = state["values"].to(self.weight.device)
        self.log_decay_at = state["log_decay_at"].to(self.weight.device)
        self.log_decay = state["log_decay"]

    def _now(self, values: Tensor, weight: Tensor, log_decay_at: Tensor) -> Tensor:
        return torch.lerp(weight, values, (self.log_decay - log_decay_at).exp_().to(values.dtype))
