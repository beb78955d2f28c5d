import numpy as np
import pytest

from recsys_bert.static_embeddings.sequences import Sequences, keep_probabilities, neighbours, noise_probabilities


def lists(parts):
    return [rows[owner == n].tolist() for rows, owner in parts for n in range(owner.max() + 1)]


def test_parts_are_whole_sequences_in_the_order_asked():
    rows = np.arange(12, dtype=np.int32)
    sequences = Sequences(rows, np.array([0, 3, 4, 9, 12]), 12)
    order = np.array([2, 0, 3, 1])
    result = list(sequences.parts(order, 6))
    assert lists(result) == [[4, 5, 6, 7, 8], [0, 1, 2], [9, 10, 11], [3]]
    assert [len(rows) for rows, _ in result] == [5, 6, 1]  # a new one wherever another six are full
    assert lists(sequences.parts(order, 100)) == lists(result)


def test_long_sequences_are_cut_and_short_ones_are_not():
    sequences = Sequences(np.arange(25, dtype=np.int32), np.array([0, 3, 22, 25]), 25)
    assert sequences.cut(8).offsets.tolist() == [0, 3, 8, 16, 22, 25]
    assert sequences.cut(19).offsets.tolist() == [0, 3, 22, 25]


def test_neighbours_are_those_of_a_plain_loop():
    random = np.random.default_rng(0)
    owner = np.repeat(np.arange(6), [1, 7, 2, 12, 1, 4])
    reach = random.integers(1, 5, len(owner))
    positions, there = neighbours(owner, reach, 4)
    assert there.any()
    for at in range(len(owner)):
        plain = [n for n in range(len(owner)) if n != at and abs(n - at) <= reach[at] and owner[n] == owner[at]]
        assert positions[at][there[at]].tolist() == plain


@pytest.fixture(scope="module")
def gensim_model():
    word2vec = pytest.importorskip("gensim.models.word2vec")
    counts = np.array([5000, 1200, 300, 80, 20, 3, 1])
    model = word2vec.Word2Vec(min_count=1, sample=1e-2, ns_exponent=0.6)
    model.build_vocab_from_freq({str(row): int(n) for row, n in enumerate(counts)})
    assert model.wv.index_to_key == [str(row) for row in range(len(counts))]
    return counts, model


def test_rows_are_kept_as_often_as_by_gensim(gensim_model):
    counts, model = gensim_model
    theirs = [model.wv.get_vecattr(row, "sample_int") / (2**32 - 1) for row in range(len(counts))]
    np.testing.assert_allclose(keep_probabilities(counts, 1e-2), theirs, rtol=1e-6)
    assert (keep_probabilities(counts, 0.0) == 1).all()


def test_noise_is_drawn_as_often_as_by_gensim(gensim_model):
    counts, model = gensim_model
    theirs = np.diff(model.cum_table.astype(np.float64), prepend=0) / model.cum_table[-1]
    np.testing.assert_allclose(noise_probabilities(counts, 0.6), theirs, atol=1e-9)
    np.testing.assert_array_equal(noise_probabilities(np.array([0, 4, 0, 4]), 0.0), [0, 0.5, 0, 0.5])
