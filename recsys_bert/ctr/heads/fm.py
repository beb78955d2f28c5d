"""Factorisation machine (Rendle 2010, https://doi.org/10.1109/ICDM.2010.127)."""

import torch
from torch import Tensor, nn

from recsys_bert.errors import InputError


def pair_sum(vectors: Tensor) -> Tensor:
    """Sum of the inner products of all pairs of fields, in time linear in their number.

    ``Σ_{i<j} v_i · v_j = ½ (‖Σ_i v_i‖² − Σ_i ‖v_i‖²)``.

    Args:
        vectors: ``[batch, n_fields, dim]``.

    Returns:
        ``[batch]``.
    """
    return 0.5 * (vectors.sum(1).square().sum(1) - vectors.square().sum((1, 2)))


class FactorisationMachine(nn.Module):
    """First-order weights plus the inner products of all pairs of fields.

    Channel 0 of a field is its first-order weight, the other channels are its factors.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field: 1 + the number of factors.

    Raises:
        InputError: ``dim`` leaves no factor.
    """

    def __init__(self, n_fields: int, dim: int) -> None:
        super().__init__()
        if dim < 2:
            raise InputError(f"dim is {dim}; a factorisation machine needs at least 2: a weight and one factor.")
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.bias + fields[:, :, 0].sum(1) + pair_sum(fields[:, :, 1:])
