"""Factorisation machine (Rendle 2010, https://doi.org/10.1109/ICDM.2010.127)."""

import torch
from torch import Tensor, nn

from recsys_bert.ctr.heads.lr import SumOutput
from recsys_bert.errors import InputError


def order_sums(fields: Tensor) -> Tensor:
    """First-order sum and, by factor, the sum over all pairs of fields of their products.

    Args:
        fields: ``[batch, n_fields, dim]``; channel 0 is the first-order weight, the others are factors.

    Returns:
        ``[batch, dim]``; its sum is the machine's output without the bias.
    """
    factors = fields[:, :, 1:]
    pairs = 0.5 * (factors.sum(1).square() - factors.square().sum(1))
    return torch.cat([fields[:, :, 0].sum(1, keepdim=True), pairs], 1)


class FactorisationMachine(nn.Module):
    """First-order weights plus the inner products of all pairs of fields.

    Channel 0 of a field is its first-order weight, the other channels are its factors. All pairs take time linear in
    their number: ``Σ_{i<j} v_i · v_j = ½ (‖Σ_i v_i‖² − Σ_i ‖v_i‖²)``.

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
        self.out_dim = dim
        self.out = SumOutput()

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the sums of first and second order ``[batch, dim]``."""
        return order_sums(fields)

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
