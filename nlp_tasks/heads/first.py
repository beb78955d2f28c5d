"""The first position's state, BERT's [CLS] (https://arxiv.org/abs/1810.04805)."""

from torch import Tensor, nn


class First(nn.Module):
    """State of the first position.

    Args:
        dim: Width of one position.
        pooler: Add a linear layer and tanh, as BERT does.
    """

    def __init__(self, dim: int, *, pooler: bool = False) -> None:
        super().__init__()
        self.out_dim = dim
        self.pooler = nn.Sequential(nn.Linear(dim, dim), nn.Tanh()) if pooler else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Take ``[batch, dim]`` out of ``[batch, seq, dim]``."""
        return self.pooler(tokens[:, 0])
