"""Parts as somebody outside the project would write them."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.errors import InputError


class PlainLayer(nn.Module):
    ends_with_norm = True

    def __init__(self, dim: int, n_heads: int, dropout: float, *, gain: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.gain = gain

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None) -> tuple[Tensor, None]:
        return self.gain * self.linear(x), None


class First(nn.Module):
    def __init__(self, dim: int, n_layers: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        return self.gain * states[0]


class Halves(nn.Module):
    def __init__(self, dim: int, dropout: float, *, causal: bool, gain: float = 1.0) -> None:
        super().__init__()
        if causal:
            raise InputError("neck Halves cannot be causal.")
        self.out_dim = dim // 2
        self.gain = gain

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.gain * x[..., : self.out_dim]
