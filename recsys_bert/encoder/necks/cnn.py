"""CNN neck (https://arxiv.org/abs/1408.5882, without the pooling)."""

import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import activation_by_name
from recsys_bert.errors import InputError


class Cnn(nn.Module):
    """One 1-D convolution and an activation; centred, or with ``causal`` ending at the position itself.

    Args:
        dim: Width of the input.
        dropout: Probability in [0, 1) on the output.
        causal: No output depends on a later position.
        kernel: Kernel size in positions; odd unless causal.
        channels: Width of the output; None = ``dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
    """

    def __init__(
        self,
        dim: int,
        dropout: float,
        *,
        causal: bool,
        kernel: int = 3,
        channels: int | None = None,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if kernel < 1 or (not causal and kernel % 2 == 0):
            rule = "at least 1" if causal else "odd, so that the window has a centre"
            raise InputError(f"neck cnn: kernel is {kernel}; it must be {rule}.")
        if channels is not None and channels < 1:
            raise InputError(f"neck cnn: channels is {channels}; it must be at least 1.")
        self.out_dim = dim if channels is None else channels
        self.sides = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)
        self.convolution = nn.Conv1d(dim, self.out_dim, kernel)
        self.activation = activation_by_name(activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Refine every position.

        Args:
            x: ``[batch, seq, dim]``.
            mask: bool ``[batch, seq]``.

        Returns:
            ``[batch, seq, out_dim]``.
        """
        x = x * mask[..., None]  # padding must equal the zeros beyond the row's end
        windows = F.pad(x.transpose(1, 2), self.sides)
        return self.dropout(self.activation(self.convolution(windows).transpose(1, 2)))
