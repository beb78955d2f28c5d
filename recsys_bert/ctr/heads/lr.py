"""Logistic regression, the baseline of every CTR model."""

import torch
from torch import Tensor, nn


class SumOutput(nn.Module):
    """Sum over a vector, plus a bias: the output of heads whose vectors are weights already."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[batch, dim]`` into ``[batch, 1]``."""
        return x.sum(1, keepdim=True) + self.bias


class LogisticRegression(nn.Module):
    """One weight for every feature value: the sum over its vector, so ``dim = 1`` has the fewest parameters.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field; more than 1 is the same model with more parameters.
    """

    def __init__(self, n_fields: int, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.out = SumOutput()

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the fields ``[batch, dim]``."""
        return fields.sum(1)

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
