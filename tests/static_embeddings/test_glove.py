import itertools

import numpy as np
import pytest
import torch

from recsys_bert.errors import InputError
from recsys_bert.static_embeddings import glove
from recsys_bert.static_embeddings.config import GloveConfig
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.static_embeddings.glove import Glove, co_occurrences
from recsys_bert.static_embeddings.sequences import Sequences

ROWS = np.random.default_rng(0).integers(7, size=40).astype(np.int32)
OFFSETS = np.array([0, 1, 12, 12, 30, 40])


@pytest.mark.parametrize("at_once", [18, 1 << 18])  # the result does not depend on how much is counted at a time
def test_pairs_count_by_distance(at_once, monkeypatch):
    monkeypatch.setattr(glove, "_ROWS", at_once)
    expected = np.zeros((7, 7))
    for start, stop in itertools.pairwise(OFFSETS):
        for one in range(start, stop):
            for other in range(start, stop):
                if 0 < abs(one - other) <= 3:
                    expected[ROWS[one], ROWS[other]] += 1 / abs(one - other)
    result = co_occurrences(Sequences(ROWS, OFFSETS, 7), 3)
    np.testing.assert_allclose(result.toarray(), expected)


def test_a_step_is_adagrad_on_the_papers_loss():
    model = Glove(Sequences(ROWS, OFFSETS, 7), GloveConfig(dim=3, window=3, x_max=2.0, lr=0.1))
    random = torch.Generator().manual_seed(0)
    model.words, model.contexts = (torch.randn(7, 4, generator=random) for _ in range(2))
    words, contexts = (table.clone().requires_grad_() for table in (model.words, model.contexts))
    row, column, counts = torch.tensor([0, 0, 3, 6]), torch.tensor([1, 2, 1, 6]), torch.tensor([0.5, 1.0, 2.5, 9.0])
    squares = [torch.ones(7, 4), torch.ones(7, 4)]
    for _ in range(2):  # the second step sees what the first one has summed
        loss = 0
        for i, j, x in zip(row, column, counts, strict=True):
            difference = words[i, :3] @ contexts[j, :3] + words[i, 3] + contexts[j, 3] - x.log()
            loss = loss + min(1.0, (x / 2).item() ** 0.75) * difference**2
        gradients = torch.autograd.grad(loss, [words, contexts])
        for table, own, gradient in zip((words, contexts), squares, gradients, strict=True):
            own += gradient**2
            table.data -= 0.1 * gradient / own.sqrt()
        torch.testing.assert_close(model.step(row, column, counts), loss.detach())
    torch.testing.assert_close(model.words, words.detach())
    torch.testing.assert_close(model.contexts, contexts.detach())


def test_neighbourhoods_are_found(planted, in_group):
    model = Glove(planted, GloveConfig(dim=16, window=4, epochs=30, batch_size=64, x_max=200.0))
    fit_vectors(model)
    assert in_group(model.vectors) > 0.8


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(planted, tmp_path):
    def model(epochs):
        return Glove(planted, GloveConfig(dim=4, epochs=epochs))

    whole, again = model(3), model(3)
    fit_vectors(whole)
    fit_vectors(model(2), tmp_path / "state")
    fit_vectors(again, tmp_path / "state")
    np.testing.assert_array_equal(again.vectors, whole.vectors)


def test_nothing_to_learn_from_and_bad_settings_are_refused():
    with pytest.raises(InputError, match="none of 1 sequences has two known words"):
        Glove(Sequences(np.array([1], np.int32), np.array([0, 1]), 3), GloveConfig())
    with pytest.raises(InputError, match="x_max is 0"):
        GloveConfig(x_max=0)
