"""DCN-V2 (https://arxiv.org/abs/2008.13535)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp
from recsys_bert.errors import InputError


class CrossLayer(nn.Module):
    """``x_{l+1} = x_0 ⊙ (W x_l + b) + x_l``; with a rank, ``W = U V`` (equations 1 and 3).

    Args:
        dim: Width of the flattened fields.
        rank: Inner width of the factorised form; None keeps the full matrix.
    """

    def __init__(self, dim: int, rank: int | None) -> None:
        super().__init__()
        self.mix: nn.Module = nn.Linear(dim, dim)
        if rank is not None:
            self.mix = nn.Sequential(nn.Linear(dim, rank, bias=False), nn.Linear(rank, dim))

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """Cross ``x`` with ``first``, both ``[batch, dim]``."""
        return first * self.mix(x) + x


class DCNv2(nn.Module):
    """Explicit crosses of bounded degree, beside or below a feed-forward network.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        n_cross: Cross layers; crosses reach degree ``n_cross + 1``.
        rank: Inner width of a factorised cross; None for full matrices.
        structure: ``parallel``: both read the fields and are concatenated; ``stacked``: the network reads the crosses.
        hidden: Widths of the network.
        dropout: Probability in [0, 1), in the network.
        batch_norm: Normalise the network's layers.
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        n_cross: int = 3,
        rank: int | None = None,
        structure: str = "parallel",
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if structure not in ("parallel", "stacked"):
            raise InputError(f"structure is {structure!r}; it must be 'parallel' or 'stacked'.")
        if n_cross < 1 or (rank is not None and rank < 1):
            raise InputError(f"n_cross is {n_cross} and rank {rank}; each must be at least 1.")
        flat = n_fields * dim
        self.crosses = nn.ModuleList(CrossLayer(flat, rank) for _ in range(n_cross))
        self.stacked = structure == "stacked"
        self.deep = Mlp(flat, hidden, dropout=dropout, batch_norm=batch_norm)
        self.out_dim = self.deep.out_dim + (0 if self.stacked else flat)
        self.out = nn.Linear(self.out_dim, 1)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return crosses and network side by side, or the network on top of the crosses ``[batch, out_dim]``."""
        first = crossed = fields.flatten(1)
        for cross in self.crosses:
            crossed = cross(first, crossed)
        if self.stacked:
            stacked: Tensor = self.deep(crossed)
            return stacked
        return torch.cat([crossed, self.deep(first)], 1)

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
