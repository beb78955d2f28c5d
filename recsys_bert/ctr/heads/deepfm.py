"""DeepFM (https://arxiv.org/abs/1703.04247)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.ctr.heads.fm import order_sums
from recsys_bert.ctr.heads.lr import SumOutput
from recsys_bert.ctr.mlp import Mlp
from recsys_bert.errors import InputError


class SummedOutputs(nn.Module):
    """Sum of the machine's output and a linear one of the network.

    Args:
        dim: Width of the machine's sums, which come first.
        deep_dim: Width of the network's last layer.
    """

    def __init__(self, dim: int, deep_dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.machine = SumOutput()
        self.deep = nn.Linear(deep_dim, 1, bias=False)  # the machine has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[batch, dim + deep_dim]`` into ``[batch, 1]``."""
        return self.machine(x[:, : self.dim]) + self.deep(x[:, self.dim :])


class DeepFM(nn.Module):
    """A factorisation machine and a feed-forward network on the same vectors; their logits are added.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field: 1 + the number of factors; the network reads all of it.
        hidden: Widths of the network.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the network's layers.

    Raises:
        InputError: ``dim`` leaves no factor.
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if dim < 2:
            raise InputError(f"dim is {dim}; a factorisation machine needs at least 2: a weight and one factor.")
        self.deep = Mlp(n_fields * dim, hidden, dropout=dropout, batch_norm=batch_norm)
        self.out_dim = dim + self.deep.out_dim
        self.out = SummedOutputs(dim, self.deep.out_dim)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the machine's sums and the network's last layer ``[batch, out_dim]``."""
        return torch.cat([order_sums(fields), self.deep(fields.flatten(1))], 1)

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
