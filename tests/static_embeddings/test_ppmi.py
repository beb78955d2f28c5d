import numpy as np
import pytest
from scipy import sparse

from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.glove import co_occurrences
from recsys_bert.static_embeddings.ppmi import ppmi, ppmi_vectors
from recsys_bert.static_embeddings.sequences import Sequences

ROWS = np.random.default_rng(0).integers(7, size=60).astype(np.int32)
SEQUENCES = Sequences(ROWS, np.array([0, 1, 12, 12, 30, 60]), 9)  # rows 7 and 8 never occur


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_ppmi_is_its_formula_in_both_directions(smoothing):
    counts = co_occurrences(SEQUENCES, 2)
    dense = counts.toarray()
    totals = dense.sum(axis=0)
    shares = totals**smoothing / (totals**smoothing).sum()
    expected = np.zeros_like(dense)
    for i, j in np.argwhere(dense):
        one = np.log(dense[i, j] / totals[i] / shares[j])
        other = np.log(dense[i, j] / totals[j] / shares[i])
        expected[i, j] = (max(0, one) + max(0, other)) / 2
    np.testing.assert_allclose(ppmi(counts, smoothing).toarray(), expected)


@pytest.mark.parametrize("dim", [3, 9, 12])  # by ARPACK; all of them; more than there are
def test_vectors_are_the_best_positive_factors(dim):
    matrix = ppmi(co_occurrences(SEQUENCES, 2)).toarray()
    values, vectors = np.linalg.eigh(matrix)
    remaining = values[::-1][:dim].clip(0)
    expected = (vectors[:, ::-1][:, :dim] * remaining) @ vectors[:, ::-1][:, :dim].T
    result = ppmi_vectors(SEQUENCES, dim, window=2)
    assert result.shape == (9, dim)
    np.testing.assert_allclose(result @ result.T, expected, atol=1e-5)
    assert not result[7:].any()
    np.testing.assert_array_equal(result, ppmi_vectors(SEQUENCES, dim, window=2))


def test_rows_of_a_group_are_near(planted, in_group):
    assert in_group(ppmi_vectors(planted, 8)) > 0.9


def test_sequences_without_neighbours_are_refused():
    alone = Sequences(np.arange(3, dtype=np.int32), np.arange(4), 3)
    with pytest.raises(InputError, match="there are no co-occurrences"):
        ppmi_vectors(alone, 2)


def test_a_count_of_one_pair():
    counts = sparse.coo_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(ppmi(counts, 1.0).toarray(), [[0, np.log(2)], [np.log(2), 0]])
