"""Feed-forward network of CTR heads."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError


class Dice(nn.Module):
    """Data-adaptive activation from DIN (https://arxiv.org/abs/1706.06978, section 5.3).

    A PReLU whose turning point follows the batch: ``p · x + (1 − p) · alpha · x`` with ``p = sigmoid(batch_norm(x))``.

    Args:
        dim: Width of the input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.alpha = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Activate ``[batch, dim]``."""
        p = torch.sigmoid(self.norm(x))
        return x * (p + (1 - p) * self.alpha)


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda dim: nn.ReLU(),
    "leaky_relu": lambda dim: nn.LeakyReLU(),
    "dice": Dice,
}


class Mlp(nn.Sequential):
    """Linear, batch norm, activation and dropout, once per hidden width; no output layer.

    Args:
        dim: Width of the input.
        hidden: Widths of the hidden layers; none at all passes the input on.
        dropout: Probability in [0, 1), after every activation.
        batch_norm: Normalise before every activation.
        activation: ``relu``, ``leaky_relu`` or ``dice``.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int],
        *,
        dropout: float = 0.0,
        batch_norm: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise InputError(f"activation is {activation!r}; known: {', '.join(sorted(ACTIVATIONS))}.")
        if any(width < 1 for width in hidden):
            raise InputError(f"hidden widths are {list(hidden)}; each must be at least 1.")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout is {dropout}; it must be in [0, 1).")
        self.out_dim = dim
        for width in hidden:
            self.append(nn.Linear(self.out_dim, width))
            if batch_norm:
                self.append(nn.BatchNorm1d(width))
            self.append(ACTIVATIONS[activation](width))
            if dropout:
                self.append(nn.Dropout(dropout))
            self.out_dim = width
