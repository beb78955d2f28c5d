"""Whitening, with fewer dimensions where wanted (Su et al. 2021, https://arxiv.org/abs/2103.15316)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError


class Whitening(nn.Module):
    """Linear map to zero mean and identity covariance, on the directions of the largest variance.

    Args:
        dim: Width of the vectors.
        width: Directions kept; None: all.
        power: Each direction is divided by its standard deviation to this power, in [0, 1]; 0 is PCA.
    """

    def __init__(self, dim: int, *, width: int | None = None, power: float = 1.0) -> None:
        super().__init__()
        if width is not None and not 1 <= width <= dim:
            raise InputError(f"whitening: width is {width}; of vectors of width {dim}, 1 to {dim} can be kept.")
        if not 0 <= power <= 1:
            raise InputError(f"whitening: power is {power}; it must lie in [0, 1].")
        self.out_dim, self.power = width or dim, power
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("components", torch.zeros(dim, self.out_dim))

    def fit(self, vectors: NDArray[np.float32]) -> None:
        """Fit on vectors ``[n, dim]``.

        Raises:
            InputError: They span fewer dimensions than are kept, too few of them or too many alike, and are divided.
        """
        values = vectors.astype(np.float64)
        mean = values.mean(axis=0)
        variances, axes = np.linalg.eigh((values - mean).T @ (values - mean) / len(values))
        variances, axes = variances[::-1][: self.out_dim], axes[:, ::-1][:, : self.out_dim]
        rank = int((variances > 1e-10 * max(float(variances[0]), 1e-30)).sum())
        if self.power and rank < self.out_dim:
            raise InputError(
                f"whitening: {len(vectors):,} vectors span {rank} dimensions, fewer than the {self.out_dim} to keep. "
                f"Give more vectors, or set width to {max(rank, 1)} or less."
            )
        self.mean.copy_(torch.from_numpy(mean))
        self.components.copy_(torch.from_numpy(axes * variances ** (-self.power / 2)))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``[n, dim]`` to ``[n, out_dim]``."""
        return (vectors - self.mean) @ self.components

    def linear(self) -> tuple[Tensor, Tensor]:
        """Weight ``[out_dim, dim]`` and bias of the same map as ``x @ weight.T + bias``."""
        return self.components.T.contiguous(), -(self.mean @ self.components)
