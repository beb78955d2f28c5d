"""The feed-forward half of a transformer layer."""

from torch import Tensor, nn

from recsys_bert.errors import InputError, unknown_name

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}
"""``gelu`` is the exact one, by the error function, as in BERT."""


def activation_by_name(name: str) -> nn.Module:
    """Build an activation.

    Raises:
        InputError: No such activation.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


class FeedForward(nn.Module):
    """Linear, activation, linear, at every position on its own.

    Args:
        dim: Width of one position.
        ffn_dim: Width between the two linear maps; None = ``4 * dim``.
        activation: ``gelu`` or ``relu``.
    """

    def __init__(self, dim: int, ffn_dim: int | None = None, activation: str = "gelu") -> None:
        super().__init__()
        width = 4 * dim if ffn_dim is None else ffn_dim
        if width < 1:
            raise InputError(f"ffn_dim is {ffn_dim}; it must be at least 1.")
        self.widen = nn.Linear(dim, width)
        self.activation = activation_by_name(activation)
        self.narrow = nn.Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → the same shape."""
        return self.narrow(self.activation(self.widen(x)))
