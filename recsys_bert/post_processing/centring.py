"""Mean removal, and that of the strongest directions: all-but-the-top (https://arxiv.org/abs/1702.01417)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError


class Centring(nn.Module):
    """Subtract the mean, and the projections on the directions of the largest variance.

    Args:
        dim: Width of the vectors.
        top: Directions to remove, 0 to ``dim - 1``; the paper removes about ``dim / 100``.
    """

    def __init__(self, dim: int, *, top: int = 0) -> None:
        super().__init__()
        if not 0 <= top < dim:
            raise InputError(f"centring: top is {top}; of vectors of width {dim}, 0 to {dim - 1} can be removed.")
        self.out_dim, self.top = dim, top
        self.mean: Tensor
        self.directions: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("directions", torch.zeros(dim, top))

    def fit(self, vectors: NDArray[np.float32]) -> None:
        """Fit on vectors ``[n, dim]``."""
        values = vectors.astype(np.float64)
        mean = values.mean(axis=0)
        _, axes = np.linalg.eigh((values - mean).T @ (values - mean))
        self.mean.copy_(torch.from_numpy(mean))
        self.directions.copy_(torch.from_numpy(axes[:, ::-1][:, : self.top].copy()))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``[n, dim]`` to ``[n, dim]``."""
        centred = vectors - self.mean
        return centred - centred @ self.directions @ self.directions.T

    def linear(self) -> tuple[Tensor, Tensor]:
        """Weight ``[dim, dim]`` and bias of the same map as ``x @ weight.T + bias``."""
        weight = torch.eye(self.out_dim) - self.directions @ self.directions.T
        return weight, -(weight @ self.mean)
