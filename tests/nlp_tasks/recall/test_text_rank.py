"""TextRank against its formula, sentence by sentence."""

import math

import numpy as np
import pytest

from nlp_tasks.recall import text_rank
from nlp_tasks.recall.text_rank import rank


def slow_rank(sentences, damping=0.85, rounds=500):
    n = len(sentences)
    weight = [[0.0] * n for _ in range(n)]
    for i, a in enumerate(sentences):
        for j, b in enumerate(sentences):
            scale = math.log(len(a)) + math.log(len(b))
            if i != j and scale > 0:
                weight[i][j] = len(set(a) & set(b)) / scale
    scores = [1.0] * n
    for _ in range(rounds):
        scores = [
            1 - damping + damping * sum(scores[j] * weight[j][i] / sum(weight[j]) for j in range(n) if weight[j][i])
            for i in range(n)
        ]
    return scores


def test_the_formula():
    random = np.random.default_rng(0)
    sentences = [random.integers(0, 12, random.integers(1, 9)).tolist() for _ in range(20)]
    np.testing.assert_allclose(rank(sentences), slow_rank(sentences), atol=1e-4)


def test_the_sentence_that_shares_most_is_first():
    assert rank([[1, 2, 3, 4], [1, 2, 9, 8], [3, 4, 7, 6], [5, 50, 51]]).argmax() == 0


@pytest.mark.parametrize("sentences", [[], [[1]], [[1], [1]], [[]], [[1, 2], []]])
def test_nothing_to_compare_is_no_error(sentences):
    scores = rank(sentences)
    assert len(scores) == len(sentences)
    assert np.isfinite(scores).all()


def test_long_texts_are_ranked_in_blocks(monkeypatch):
    monkeypatch.setattr(text_rank, "BLOCK", 3)
    sentences = [[1, 2], [2, 3], [1, 3], [4, 5, 1], [5, 6], [6, 4]]
    np.testing.assert_allclose(rank(sentences), [*slow_rank(sentences[:3]), *slow_rank(sentences[3:])], atol=1e-4)
