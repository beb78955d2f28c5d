"""Dropout with cheap random numbers on CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.attention import check_probability

STEPS = 1 << 16
"""A probability is rounded to multiples of ``1 / STEPS``; the scale follows the rounded one."""


class Dropout(nn.Module):
    """Dropout as ``nn.Dropout``, but on CPU one 64-bit random number serves four values.

    ``nn.Dropout`` draws a float per value there, a tenth or more of a small encoder's training step.

    Args:
        probability: Of zeroing a value, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        check_probability("dropout", probability)
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero values at random in training; identity in evaluation."""
        if x.device.type != "cpu":
            return F.dropout(x, self.probability, self.training)
        dropped = round(self.probability * STEPS)
        if not self.training or not dropped:
            return x
        numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = numbers.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (bits >= dropped - STEPS // 2) * (STEPS / (STEPS - dropped))
        return x * keep.to(x.dtype)

    def extra_repr(self) -> str:
        """Show the probability in ``print(model)``."""
        return f"probability={self.probability}"
