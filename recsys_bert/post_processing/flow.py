"""BERT-flow: an invertible map of vectors to a standard Gaussian (Li et al. 2020, https://arxiv.org/abs/2011.05864)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError
from recsys_bert.progress import Progress


class Flow(nn.Module):
    """Glow on vectors: steps of activation norm, fixed rotation and affine coupling (https://arxiv.org/abs/1807.03039).

    Trained by maximum likelihood with AdamW; the encoder is not touched.

    Args:
        dim: Width of the vectors, at least 2.
        steps: Steps of the flow.
        hidden: Width of the couplings' hidden layer.
        epochs: Passes over the vectors.
        batch_size: Vectors a step of the optimiser.
        lr: Learning rate.
        seed: Of weights, rotations and order.
    """

    def __init__(
        self,
        dim: int,
        *,
        steps: int = 4,
        hidden: int = 64,
        epochs: int = 5,
        batch_size: int = 64,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (("dim", dim, 2), ("steps", steps, 1), ("hidden", hidden, 1), ("epochs", epochs, 1)):
            if value < least:
                raise InputError(f"flow: {name} is {value}; it must be at least {least}.")
        if batch_size < 1 or not lr > 0:
            raise InputError(f"flow: batch_size is {batch_size} (at least 1), lr {lr} (above 0).")
        self.out_dim, self.epochs, self.batch_size, self.lr, self.seed = dim, epochs, batch_size, lr, seed
        generator = torch.Generator().manual_seed(seed)
        self.steps = nn.ModuleList(_Step(dim, hidden, generator) for _ in range(steps))
        self.requires_grad_(False)

    def _steps(self) -> list["_Step"]:
        return [step for step in self.steps if isinstance(step, _Step)]

    def fit(self, vectors: NDArray[np.float32]) -> None:
        """Train on vectors ``[n, dim]``.

        Raises:
            InputError: All vectors are the same, or the likelihood is not finite.
        """
        data = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
        if not len(data) or (data == data[0]).all():
            raise InputError(f"flow: the {len(data):,} vectors are all the same; there is nothing to fit.")
        with torch.no_grad():
            x = data
            for step in self._steps():
                x = step.start(x)
        self.requires_grad_(True)
        optimiser = torch.optim.AdamW(self.parameters(), lr=self.lr)
        generator = torch.Generator().manual_seed(self.seed)
        with Progress("fitting the flow", self.epochs * len(data), "vectors") as progress:
            for _ in range(self.epochs):
                for rows in torch.randperm(len(data), generator=generator).split(self.batch_size):
                    loss = -self.log_likelihood(data[rows]).mean()
                    if not torch.isfinite(loss):
                        raise InputError(f"flow: the likelihood is not finite with lr {self.lr}; lower it.")
                    optimiser.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(self.parameters(), 5.0)
                    optimiser.step()
                    progress.advance(len(rows))
        self.requires_grad_(False)

    def log_likelihood(self, vectors: Tensor) -> Tensor:
        """Log-likelihood of each vector in nats, ``[n]``."""
        z, log_det = self.with_log_det(vectors)
        return log_det - 0.5 * (z.square().sum(dim=1) + self.out_dim * math.log(2 * math.pi))

    def with_log_det(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[n, dim]``, and the logarithm of the Jacobian's determinant at each vector, ``[n]``."""
        z, total = vectors, vectors.new_zeros(len(vectors))
        for step in self._steps():
            z, log_det = step(z)
            total = total + log_det
        return z, total

    def forward(self, vectors: Tensor) -> Tensor:
        """Map ``[n, dim]`` to ``[n, dim]``."""
        return self.with_log_det(vectors)[0]

    def inverse(self, z: Tensor) -> Tensor:
        """Undo ``forward``."""
        for step in reversed(self._steps()):
            z = step.inverse(z)
        return z


class _Step(nn.Module):
    """Activation norm, rotation, affine coupling of the second half on the first."""

    def __init__(self, dim: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_fixed = dim // 2
        self.shift, self.log_scale = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))
        rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
        self.rotation: Tensor
        self.register_buffer("rotation", rotation)
        rest = dim - self.n_fixed
        self.hidden, self.output = nn.Linear(self.n_fixed, hidden), nn.Linear(hidden, 2 * rest)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(hidden, self.n_fixed, generator=generator) * self.n_fixed**-0.5)
            for parameter in (self.hidden.bias, self.output.weight, self.output.bias):
                parameter.zero_()  # the coupling starts as the identity

    def start(self, x: Tensor) -> Tensor:
        """Start the norm on data, zero mean and unit variance of each number; return ``forward``'s map of them."""
        self.shift.copy_(-x.mean(dim=0))
        self.log_scale.copy_(-x.std(dim=0, unbiased=False).clamp_min(1e-6).log())
        mapped: Tensor = self(x)[0]
        return mapped

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[n, dim]``, and the log-determinant ``[n]``."""
        x = ((x + self.shift) * self.log_scale.exp()) @ self.rotation
        fixed, moved = x[:, : self.n_fixed], x[:, self.n_fixed :]
        log_scale, shift = self._coupling(fixed)
        log_det = self.log_scale.sum() + log_scale.sum(dim=1)  # a rotation's is 0
        return torch.cat([fixed, moved * log_scale.exp() + shift], dim=1), log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Undo ``forward``."""
        fixed, moved = z[:, : self.n_fixed], z[:, self.n_fixed :]
        log_scale, shift = self._coupling(fixed)
        x = torch.cat([fixed, (moved - shift) * (-log_scale).exp()], dim=1) @ self.rotation.T
        return x * (-self.log_scale).exp() - self.shift

    def _coupling(self, fixed: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale in (-1, 1) and shift of the moved numbers."""
        log_scale, shift = self.output(torch.tanh(self.hidden(fixed))).chunk(2, dim=1)
        return torch.tanh(log_scale), shift
