"""Feed-forward branches of a transformer layer."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.dropout import Dropout
from recsys_bert.errors import InputError, unknown_name

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}
"""``gelu`` is the exact one, by the error function, as in BERT; ``gelu_tanh`` its approximation in ALBERT and GPT-2."""


def activation_by_name(name: str) -> nn.Module:
    """Build an activation.

    Raises:
        InputError: No such activation.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


class FeedForward(nn.Module):
    """Position-wise feed-forward: linear, activation, dropout, linear.

    Args:
        dim: Width of one position.
        ffn_dim: Hidden width; None = ``4 * dim``.
        activation: A name in ``ACTIVATIONS``.
        dropout: Probability in [0, 1) after the activation.
    """

    def __init__(self, dim: int, ffn_dim: int | None = None, activation: str = "gelu", dropout: float = 0.0) -> None:
        super().__init__()
        width = _checked_width(dim, ffn_dim)
        self.up_proj = nn.Linear(dim, width)
        self.activation = activation_by_name(activation)
        self.dropout = Dropout(dropout)
        self.down_proj = nn.Linear(width, dim)

    @property
    def output_projection(self) -> nn.Linear:
        """Last linear map of the residual branch; see ``EncoderConfig.residual_init_scale``."""
        return self.down_proj

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → the same shape."""
        return self.down_proj(self.dropout(self.activation(self.up_proj(x))))


class SwiGLU(nn.Module):
    """SwiGLU feed-forward: W₃(silu(W₁x) ⊙ W₂x), https://arxiv.org/abs/2002.05202.

    Three matrices instead of two: at the same ``ffn_dim`` 1.5 times the weights of ``FeedForward``.

    Args:
        dim: Width of one position.
        ffn_dim: Hidden width; None = ``4 * dim``.
        dropout: Probability in [0, 1) on the product.
    """

    def __init__(self, dim: int, ffn_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        width = _checked_width(dim, ffn_dim)
        self.gate = nn.Linear(dim, width)
        self.up_proj = nn.Linear(dim, width)
        self.dropout = Dropout(dropout)
        self.down_proj = nn.Linear(width, dim)

    @property
    def output_projection(self) -> nn.Linear:
        """Last linear map of the residual branch; see ``EncoderConfig.residual_init_scale``."""
        return self.down_proj

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → the same shape."""
        return self.down_proj(self.dropout(F.silu(self.gate(x)) * self.up_proj(x)))


def _checked_width(dim: int, ffn_dim: int | None) -> int:
    if ffn_dim is not None and ffn_dim < 1:
        raise InputError(f"ffn_dim is {ffn_dim}; it must be at least 1.")
    return 4 * dim if ffn_dim is None else ffn_dim
