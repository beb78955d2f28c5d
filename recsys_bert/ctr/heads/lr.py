"""Logistic regression, the baseline of every CTR model."""

import torch
from torch import Tensor, nn


class LogisticRegression(nn.Module):
    """One weight for every feature value: the sum over its vector, so ``dim = 1`` has the fewest parameters.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field; more than 1 is the same model with more parameters.
    """

    def __init__(self, n_fields: int, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return fields.sum((1, 2)) + self.bias
