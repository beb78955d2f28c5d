"""A recurrent network read from both ends of right-padded rows."""

import torch
from torch import Tensor, nn

from recsys_bert.devices import lstm_runs_in_bf16


def reverse_real(x: Tensor, real: Tensor) -> Tensor:
    """Turn the real positions of every row around and leave padding where it is; its own inverse.

    Args:
        x: ``[batch, seq, dim]``.
        real: bool ``[batch, seq]``, padding on the right.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    mirrored = real.sum(1, keepdim=True) - 1 - steps
    return x.gather(1, torch.where(real, mirrored, steps)[..., None].expand_as(x))


class BothWays(nn.Module):
    """One network reads left to right; where that is allowed, another reads right to left, from the last real item.

    In causal mode there is only the first. No packing is needed: the first network meets padding after everything
    real, and so does the second one on rows turned around.

    Args:
        kind: ``nn.LSTM`` or ``nn.GRU``.
        dim: Width of the input.
        hidden: Width of each direction's output.
        causal: Leave the backward network out.
    """

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], dim: int, hidden: int, causal: bool) -> None:
        super().__init__()
        self.ahead = kind(dim, hidden, batch_first=True)
        self.back = None if causal else kind(dim, hidden, batch_first=True)
        self.out_dim = hidden if causal else 2 * hidden

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → ``[batch, seq, out_dim]``."""
        ahead = _run(self.ahead, x)
        if self.back is None:
            return ahead
        back = _run(self.back, reverse_real(x, real))
        return torch.cat([ahead, reverse_real(back, real)], dim=-1)


def _run(rnn: nn.LSTM | nn.GRU, x: Tensor) -> Tensor:
    """Outputs of every step; in float32 under an autocast that the machine cannot run an LSTM in."""
    device = x.device.type
    if isinstance(rnn, nn.LSTM) and torch.is_autocast_enabled(device) and not lstm_runs_in_bf16(device):
        with torch.autocast(device, enabled=False):
            return rnn(x.float())[0]
    return rnn(x)[0]


def default_hidden(hidden: int | None, dim: int, causal: bool) -> int:
    """Width of one direction: ``hidden`` where given, else what makes the neck about as wide as its input."""
    return hidden if hidden is not None else max(1, dim if causal else dim // 2)
