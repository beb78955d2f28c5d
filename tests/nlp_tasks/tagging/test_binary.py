from itertools import pairwise, product

import numpy as np
import pytest
import torch

from nlp_tasks.tagging.heads.binary import Binary, words_within
from recsys_bert.errors import InputError
from recsys_bert.positive_unlabelled.risk import PURisk

REAL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_words_are_marked_by_type():
    entities = torch.tensor([[0, 0, 2, 1], [0, 1, 3, 0], [0, 2, 4, 1], [1, 2, 3, 1]])
    expected = torch.zeros(2, 5, 2, dtype=torch.bool)
    expected[0, 1:3, 0] = expected[0, 0:4, 1] = expected[1, 2, 1] = True
    assert words_within(entities, torch.zeros(2, 5, 2)).equal(expected)


def test_runs_of_one_type_and_their_scores():
    head = Binary(4, 2)
    logits = torch.full((2, 5, 2), -3.0)
    logits[0, 0:2, 0] = 2.0  # two words of type 0
    logits[0, 1, 1] = 1.0  # less likely there
    logits[0, 2:4, 1] = 1.5  # followed at once by type 1
    logits[1, 2, 0] = 4.0
    logits[1, 3:, 0] = 9.0  # padding
    entities, scores = head.decode(logits, REAL)
    np.testing.assert_array_equal(entities, [[0, 0, 2, 0], [0, 2, 4, 1], [1, 2, 3, 0]])
    yes = sigmoid(np.array([2.0, 1.5, 4.0]))
    no = sigmoid(3.0)
    border = sigmoid(-1.0)  # type 1 might begin a word earlier
    np.testing.assert_allclose(scores, [yes[0] ** 2 * no, yes[1] ** 2 * border * no, yes[2] * no], rtol=1e-6)


def test_scores_of_many_runs_are_products():
    random = torch.Generator().manual_seed(0)
    logits, mask = (
        2 * torch.randn(6, 9, 3, generator=random),
        torch.arange(9) < torch.tensor([9, 1, 4, 7, 2, 8])[:, None],
    )
    entities, scores = Binary(4, 3).decode(logits, mask)
    assert len(entities) > 6
    for (sentence, start, stop, kind), score in zip(entities.tolist(), scores.tolist(), strict=True):
        p = sigmoid(logits[sentence, mask[sentence], kind].numpy())
        expected = np.prod(p[start:stop]) * np.prod(1 - p[max(0, start - 1) : start]) * np.prod(1 - p[stop : stop + 1])
        assert score == pytest.approx(expected, rel=1e-5)
        rest = logits[sentence, start:stop]
        assert (rest.argmax(dim=1) == kind).all()
        assert (rest[:, kind] > 0).all()


@pytest.mark.parametrize("border", [0.0, 0.7, 2.0])
def test_best_runs_are_those_of_enumeration(border):
    random = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(8, 4, 2, generator=random)
    mask = torch.arange(4) < torch.tensor([4, 1, 2, 3, 4, 4, 3, 4])[:, None]
    entities, _ = Binary(4, 2, border=border).decode(logits, mask)
    for sentence, length in enumerate(mask.sum(dim=1).tolist()):

        def value(kinds, sentence=sentence):
            decided = sum(float(logits[sentence, position, kind]) for position, kind in enumerate(kinds) if kind >= 0)
            return decided - border * sum(one != other for one, other in pairwise(kinds))

        expected = np.array(max(product((-1, 0, 1), repeat=length), key=value))
        answer = np.full(length, -1)
        for _, start, stop, kind in entities[entities[:, 0] == sentence]:
            answer[start:stop] = kind
        np.testing.assert_array_equal(answer, expected)


def test_a_border_mends_a_broken_run():
    logits = torch.tensor([[[3.0], [-0.5], [3.0], [-3.0], [1.0], [-3.0]]])
    mask = torch.ones(1, 6, dtype=torch.bool)
    np.testing.assert_array_equal(Binary(4, 1).decode(logits, mask)[0], [[0, 0, 1, 0], [0, 2, 3, 0], [0, 4, 5, 0]])
    np.testing.assert_array_equal(Binary(4, 1, border=1.0).decode(logits, mask)[0], [[0, 0, 3, 0]])


def test_another_risk_can_be_learned():
    torch.manual_seed(0)
    head, words = Binary(4, 2), torch.randn(2, 5, 4)
    entities = torch.tensor([[0, 0, 2, 1], [1, 1, 2, 0]])
    head.risk = PURisk([0.4, 0.5], [1 / 8, 2 / 8], risk="unbiased")
    outputs = head(words)
    expected = head.risk(outputs[REAL], words_within(entities, outputs)[REAL])
    torch.testing.assert_close(head.loss(outputs, REAL, entities), expected)


def test_options():
    assert Binary(4, 2, loss="logistic").risk.loss == "logistic"
    with pytest.raises(InputError, match="no loss of PU learning is called 'square'"):
        Binary(4, 2, loss="square")
    for border in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="border of the binary head is"):
            Binary(4, 2, border=border)
