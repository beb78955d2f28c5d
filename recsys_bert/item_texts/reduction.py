"""Reduction of text vectors to a width, and to unit length.

Sparse vectors are sketched: every term is added to one of ``dim`` numbers with a random sign, which keeps inner
products up to noise of 1 / √dim (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206); nothing rare is lost, as it
is by truncated SVD. Dense vectors go through PCA; raw sentence vectors stand too close together, and what all share is
taken out by centring and whitening (Su et al. 2021, https://arxiv.org/abs/2103.15316).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]
Matrix = Any
"""``Floats``, or a ``csr_array``."""


@dataclass(frozen=True)
class Reduction:
    """Linear map to ``dim`` numbers, then unit length.

    Args:
        mean: ``[d]``, subtracted first; zeros for sparse vectors, which are not centred.
        components: ``[d, dim]``, dense or sparse.
    """

    mean: Floats
    components: Matrix

    @property
    def dim(self) -> int:
        """Width of the results."""
        return int(self.components.shape[1])

    def project(self, vectors: Matrix) -> Floats:
        """``[n, dim]`` of unit length; zeros where a row was 0."""
        if sparse.issparse(vectors):
            empty, projected = np.diff(vectors.indptr) == 0, vectors @ self.components
            projected = projected.toarray() if sparse.issparse(projected) else np.asarray(projected)
        else:
            empty, projected = ~vectors.any(axis=1), (vectors - self.mean) @ self.components
        projected[empty] = 0
        return unit_length(projected)


def fit_reduction(vectors: Matrix, dim: int, *, sketch: bool, whiten: float, seed: int) -> Reduction:
    """Fit on rows that are not 0.

    Args:
        vectors: ``[n, d]``.
        dim: Width; of SVD less where the vectors have less rank.
        sketch: Random signed sums in place of SVD; for sparse vectors.
        whiten: Each direction is divided by its spread to this power: 0 not, 1 fully.
        seed: Of the sketch, or of the randomised SVD.
    """
    if sketch:
        return _sketch(vectors.shape[1], dim, seed)
    if sparse.issparse(vectors):
        mean, directions, spread = np.zeros(vectors.shape[1]), *_truncated_svd(vectors, dim, seed)
    else:
        filled = vectors[vectors.any(axis=1)].astype(np.float64)
        mean = filled.mean(axis=0)
        values, axes = np.linalg.eigh((filled - mean).T @ (filled - mean) / len(filled))
        directions, spread = axes.T[::-1][:dim], np.sqrt(np.maximum(values[::-1][:dim], 0))
    used = spread > 1e-6 * spread.max(initial=0)
    if not used.any():  # all texts are alike
        mean, used[:1], spread = np.zeros_like(mean), True, np.ones_like(spread)
    scale = (spread[used] / spread[used][0]) ** -whiten
    components = (directions[used] * scale[:, None]).T
    return Reduction(mean.astype(np.float32), np.ascontiguousarray(components, dtype=np.float32))


def _sketch(width: int, dim: int, seed: int) -> Reduction:
    random = np.random.default_rng(seed)
    return sketch_of(random.integers(0, dim, width), random.choice(np.array([-1, 1], np.float32), width), dim)


def sketch_of(columns: NDArray[np.integer], signs: Floats, dim: int) -> Reduction:
    """Sketch that adds number i of a vector, with its sign, to number ``columns[i]`` of ``dim``."""
    width = len(columns)
    table = sparse.csr_array((signs, (np.arange(width), columns)), shape=(width, dim))
    return Reduction(np.zeros(width, np.float32), table)


def _truncated_svd(vectors: sparse.csr_array, dim: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions ``[k, d]`` and their singular values."""
    from sklearn.decomposition import TruncatedSVD

    rank = min(dim, min(vectors.shape) - 1)
    if rank < 1:  # one text, or one term
        return np.ones((1, vectors.shape[1])), np.ones(1)
    svd = TruncatedSVD(rank, random_state=seed).fit(vectors)
    return svd.components_, svd.singular_values_


def unit_length(vectors: Floats) -> Floats:
    """Rows divided by their length; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
