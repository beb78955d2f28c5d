"""Dropout whose random numbers cost little on CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.attention import check_probability

STEPS = 1 << 16
"""A probability is rounded to multiples of ``1 / STEPS``; the scale of what is kept is that of the rounded one."""


class Dropout(nn.Module):
    """``nn.Dropout``, except that on CPU one 64-bit random number decides over four values.

    There ``nn.Dropout`` draws a float for each value, which takes a tenth and more of a whole training step of a
    small encoder.

    Args:
        probability: Of setting a value to 0, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        check_probability("dropout", probability)
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Drop values in training; return ``x`` itself in evaluation."""
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
