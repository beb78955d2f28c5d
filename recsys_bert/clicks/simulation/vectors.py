"""Item vectors in clusters, for measuring an index without a trained model."""

import numpy as np
from numpy.typing import NDArray

_ROWS = 65_536


def simulated_vectors(n: int, dim: int, seed: int = 0, spread: float = 0.5) -> NDArray[np.float32]:
    """Draw vectors of length 1 from clusters whose sizes fall off like Zipf's law.

    Args:
        n: Vectors.
        dim: Width.
        seed: Random seed.
        spread: Length of the noise added to a cluster centre, relative to the centre.

    Returns:
        float32 ``[n, dim]``, in random order of clusters.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    centres = rng.standard_normal((max(1, min(n, 4_096, n // 100)), dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    sums = np.cumsum(np.arange(1, len(centres) + 1) ** -0.8)
    vectors = np.empty((n, dim), np.float32)
    for start in range(0, n, _ROWS):  # bounded memory beside the result
        part = vectors[start : start + _ROWS]
        cluster = np.searchsorted(sums, rng.random(len(part)) * sums[-1], side="right")
        np.multiply(rng.standard_normal(part.shape, dtype=np.float32), spread / dim**0.5, out=part)
        part += centres[np.minimum(cluster, len(centres) - 1)]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors
