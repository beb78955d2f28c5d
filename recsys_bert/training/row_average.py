"""The exponential average of a table of which few rows change at a step."""

import math
from typing import Any

import torch
from torch import Tensor

from recsys_bert.training.sparse_adam import touched


class RowAverage:
    """An exponential average that is worked out for a row only when that row is about to change, or is asked for.

    While a row's weights w stand still, its average a goes ``a ← w + (a − w) d`` at every step, so over many steps the
    product of their shares d is all it takes. The result is that of averaging the whole table at every step.

    Args:
        weight: The table, ``[rows, dim]``.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.values = weight.new_zeros(0)
        self.kept = 0.0  # log of the product of all shares so far
        self.kept_at = torch.zeros(0)  # [rows, 1] what it was when each row was last worked out

    def start(self) -> None:
        """Begin with the weights as they are."""
        self.values, self.kept = self.weight.detach().clone(), 0.0
        self.kept_at = torch.zeros(len(self.weight), 1, dtype=torch.float64, device=self.weight.device)

    def before_change(self) -> None:
        """Work out the rows that the table's gradient has, while they still are what they were."""
        if self.weight.grad is None:
            return
        rows, _ = touched(self.weight)
        self.values[rows] = self._now(self.values[rows], self.weight.detach()[rows], self.kept_at[rows])
        self.kept_at[rows] = self.kept

    def after_step(self, share: float) -> None:
        """Count a step at which the average keeps ``share`` of itself."""
        self.kept += math.log(max(share, 1e-30))  # 1e-30 of anything is nothing in float32

    def value(self) -> Tensor:
        """The average of all rows as of now, ``[rows, dim]``."""
        return self._now(self.values, self.weight.detach(), self.kept_at)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"values": self.values, "kept": self.kept, "kept_at": self.kept_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``'s result."""
        self.values, self.kept_at = (state[name].to(self.weight.device) for name in ("values", "kept_at"))
        self.kept = state["kept"]

    def _now(self, values: Tensor, weight: Tensor, kept_at: Tensor) -> Tensor:
        return torch.lerp(weight, values, (self.kept - kept_at).exp_().to(values.dtype))
