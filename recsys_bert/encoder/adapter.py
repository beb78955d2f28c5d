"""Map from the numbers of a dense feature (a vector of a text, a price) to an embedding."""

import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """Linear map, or a small MLP, without biases: where a row has no value, its zeros stay zeros.

    Inputs are expected with a mean square of about 1, as a prepared log has them, and are divided by their number: an
    optimiser's step, as large for every weight, then moves an output as far as an embedding, and not ``width`` times as
    far. The input gets no gradient.

    Args:
        width: Numbers a row.
        dim: Width of the embedding.
        std: Standard deviation of the initial output; 0: training starts where it would without the feature.
        hidden: Width of the MLP's hidden layer; None = linear.
    """

    def __init__(self, width: int, dim: int, std: float = 0.0, hidden: int | None = None) -> None:
        super().__init__()
        self.std, self.hidden = std, None if hidden is None else nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(width if hidden is None else hidden, dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights."""
        if self.hidden is not None:
            nn.init.normal_(self.hidden.weight, std=self.hidden.in_features**0.5)
        nn.init.normal_(self.out.weight, std=self.std * self.out.in_features**0.5)

    def forward(self, values: Tensor) -> Tensor:
        """``[…, width]`` → ``[…, dim]``."""
        values = values.to(self.out.weight.dtype)
        hidden = values if self.hidden is None else F.gelu(_mean(self.hidden, values))
        return _mean(self.out, hidden)


def _mean(linear: nn.Linear, values: Tensor) -> Tensor:
    """Linear map of ``values / width``; the weights are divided, of which there are fewer than of all items' values."""
    return F.linear(values, linear.weight / linear.in_features)
