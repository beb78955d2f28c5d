"""Last layer, without fusion."""

from collections.abc import Sequence

from torch import Tensor, nn


class Last(nn.Module):
    """Return the last state.

    Args:
        dim: Width of one position; not needed here.
        n_layers: Number of layers; not needed here.
    """

    def __init__(self, dim: int, n_layers: int) -> None:
        super().__init__()

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Fuse ``n_layers + 1`` tensors ``[batch, seq, dim]`` into one of the same shape."""
        return states[-1]
