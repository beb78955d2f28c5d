"""PPMI embeddings: factorised positive pointwise mutual information, which skip-gram approximates by training.

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
    """Positive PMI of rows and smoothed contexts, averaged over both directions: symmetric, ``[size, size]``.

    ``max(0, log (x_ij / (x_i · q_j)))``, ``q`` the context distribution to the power ``smoothing``, which counters
    PMI's bias towards rare rows.

    Args:
        counts: Symmetric co-occurrence counts.
        smoothing: Context distribution smoothing in (0, 1]; 1 = none.
    """
    totals = np.asarray(counts.sum(axis=0)).ravel()
    smoothed = totals**smoothing
    row, column = counts.coords
    information = np.log(counts.data / totals[row] / (smoothed[column] / smoothed.sum()))
    positive = information > 0
    entries = (row[positive], column[positive])
    directed = sparse.csr_array((information[positive], entries), counts.shape)
    return sparse.csr_array((directed + directed.T) / 2)


def ppmi_vectors(sequences: Sequences, dim: int, *, window: int = 5, smoothing: float = 0.75) -> NDArray[np.float32]:
    """Vectors ``[size, dim]`` whose inner products approximate PPMI.

    Memory grows with the number of co-occurring pairs. Rows without positive PMI are 0; so are columns beyond the
    positive eigenvalues.

    Args:
        sequences: Sequences of rows.
        dim: Width of a vector.
        window: Context window on either side; a neighbour at distance d counts 1 / d.
        smoothing: See ``ppmi``.

    Raises:
        InputError: No sequence has two rows.
    """
    counts = co_occurrences(sequences, window)
    if not counts.nnz:
        raise InputError(
            f"none of {len(sequences):,} sequences has two known words or items; there are no co-occurrences."
        )
    matrix = ppmi(counts, smoothing)
    if dim < sequences.size - 1:
        start = np.random.default_rng(0).random(sequences.size)  # otherwise ARPACK's random start differs each time
        values, vectors = eigsh(matrix, k=dim, which="LA", v0=start)
    else:
        values, vectors = np.linalg.eigh(matrix.toarray())
    scaled = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :dim]
    scaled[np.diff(matrix.indptr) == 0] = 0  # exactly, not up to rounding
    return np.pad(scaled, ((0, 0), (0, dim - scaled.shape[1]))).astype(np.float32)
