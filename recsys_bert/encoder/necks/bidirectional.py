"""Bidirectional recurrent networks over right-padded rows."""

import torch
from torch import Tensor, nn

from recsys_bert.devices import lstm_runs_in_bf16


def reverse_tokens(x: Tensor, mask: Tensor) -> Tensor:
    """Reverse the tokens of every row and leave padding in place; its own inverse.

    Args:
        x: ``[batch, seq, dim]``.
        mask: bool ``[batch, seq]``, padding on the right.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    mirrored = mask.sum(1, keepdim=True) - 1 - steps
    return x.gather(1, torch.where(mask, mirrored, steps)[..., None].expand_as(x))


class Bidirectional(nn.Module):
    """A forward network and, unless causal, a backward one that starts at the last token.

    No packing is needed: the forward network meets padding after all tokens, and so does the backward one on reversed
    rows.

    Args:
        kind: ``nn.LSTM`` or ``nn.GRU``.
        dim: Width of the input.
        hidden: Width of each direction.
        causal: Leave the backward network out.
    """

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], dim: int, hidden: int, causal: bool) -> None:
        super().__init__()
        self.forward_rnn = kind(dim, hidden, batch_first=True)
        self.backward_rnn = None if causal else kind(dim, hidden, batch_first=True)
        self.out_dim = hidden if causal else 2 * hidden

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → ``[batch, seq, out_dim]``."""
        forward_rnn = _run(self.forward_rnn, x)
        if self.backward_rnn is None:
            return forward_rnn
        backward_rnn = _run(self.backward_rnn, reverse_tokens(x, mask))
        return torch.cat([forward_rnn, reverse_tokens(backward_rnn, mask)], dim=-1)


def _run(rnn: nn.LSTM | nn.GRU, x: Tensor) -> Tensor:
    """Run the network, in float32 under an autocast that the machine cannot run an LSTM in."""
    device = x.device.type
    if isinstance(rnn, nn.LSTM) and torch.is_autocast_enabled(device) and not lstm_runs_in_bf16(device):
        with torch.autocast(device, enabled=False):
            return rnn(x.float())[0]
    return rnn(x)[0]


def default_hidden(hidden: int | None, dim: int, causal: bool) -> int:
    """Width of one direction: ``hidden``, or by default about that of the input over all directions."""
    return hidden if hidden is not None else max(1, dim if causal else dim // 2)
