"""Vectors by factorising positive pointwise mutual information: what skip-gram does, without training.

Levy and Goldberg 2014 (https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization); the
smoothing and the symmetric factors are those of Levy, Goldberg and Dagan 2015 (https://aclanthology.org/Q15-1016).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.glove import co_occurrences
from recsys_bert.static_embeddings.sequences import Sequences


def ppmi(counts: sparse.coo_array, smoothing: float = 0.75) -> sparse.csr_array:
    """Positive PMI of rows and smoothed contexts, and the mean of both directions: symmetric, ``[size, size]``.

    ``max(0, log (x_ij / (x_i · q_j)))``, ``q`` being the share of each row's count to the power ``smoothing``, without
    which rare rows would be too near to everything that they stand beside.

    Args:
        counts: How often rows stand near each other, symmetric.
        smoothing: In (0, 1]; 1 leaves the shares as they are.
    """
    totals = np.asarray(counts.sum(axis=0)).ravel()
    smoothed = totals**smoothing
    row, column = counts.coords
    information = np.log(counts.data / totals[row] / (smoothed[column] / smoothed.sum()))
    kept = information > 0
    directed = sparse.csr_array((information[kept], (row[kept], column[kept])), counts.shape)
    return sparse.csr_array((directed + directed.T) / 2)


def ppmi_vectors(sequences: Sequences, dim: int, *, window: int = 5, smoothing: float = 0.75) -> NDArray[np.float32]:
    """Vectors whose inner products are near the PPMI of their rows, ``[size, dim]``.

    Memory grows with the pairs of rows that stand near each other. A row that nothing stands beside more often than by
    chance is 0; so are columns for which the matrix has no positive eigenvalue left.

    Args:
        sequences: Rows beside each other.
        dim: Width of a vector.
        window: Neighbours on either side; one at distance d counts 1 / d.
        smoothing: See ``ppmi``.

    Raises:
        InputError: No sequence has two rows.
    """
    counts = co_occurrences(sequences, window)
    if not counts.nnz:
        raise InputError(
            f"none of {len(sequences):,} sequences has two known words or items: nothing stands beside anything."
        )
    matrix = ppmi(counts, smoothing)
    if dim < sequences.size - 1:
        start = np.random.default_rng(0).random(sequences.size)  # ARPACK draws one otherwise, another one each time
        values, vectors = eigsh(matrix, k=dim, which="LA", v0=start)
    else:
        values, vectors = np.linalg.eigh(matrix.toarray())
    found = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :dim]
    found[np.diff(matrix.indptr) == 0] = 0  # not merely as small as rounding makes it
    return np.pad(found, ((0, 0), (0, dim - found.shape[1]))).astype(np.float32)
