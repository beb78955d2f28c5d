import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.static_embeddings.sequences import Sequences, noise_probabilities
from recsys_bert.static_embeddings.word2vec import Word2Vec


@pytest.fixture
def small():
    """A model of nine rows, none of which is zero."""
    rows = np.random.default_rng(0).integers(9, size=60).astype(np.int32)
    model = Word2Vec(Sequences(rows, np.array([0, 20, 60]), 9), Word2VecConfig(dim=4, negatives=2))
    random = torch.Generator().manual_seed(0)
    model.inputs, model.outputs = (torch.randn(9, 4, generator=random) for _ in range(2))
    return model


def plain_loss(inputs, outputs, input_rows, targets):
    """The formula, one example after the other."""
    loss = 0
    for rows, (true, *noise) in zip(input_rows.tolist(), targets.tolist(), strict=True):
        hidden = torch.stack([inputs[row] for row in rows if row >= 0]).mean(0)
        loss = loss - F.logsigmoid(hidden @ outputs[true])
        for row in noise:
            loss = loss - (F.logsigmoid(-hidden @ outputs[row]) if row >= 0 else 0)
    return loss


@pytest.mark.parametrize("input_rows", [[[3], [3], [8], [0]], [[3, 4, 4], [3, -1, -1], [-1, 8, 0], [0, 2, 1]]])
def test_a_step_goes_down_the_gradient_of_the_formula(small, input_rows):
    input_rows, targets = torch.tensor(input_rows), torch.tensor([[1, 2, 2], [7, -1, 1], [1, 0, 5], [6, 3, -1]])
    inputs, outputs = (table.clone().requires_grad_() for table in (small.inputs, small.outputs))
    loss = plain_loss(inputs, outputs, input_rows, targets)
    loss.backward()
    torch.testing.assert_close(small.step(input_rows, targets, lr=0.1), loss.detach())
    torch.testing.assert_close(small.inputs, (inputs - 0.1 * inputs.grad).detach())
    torch.testing.assert_close(small.outputs, (outputs - 0.1 * outputs.grad).detach())
    assert (outputs.grad[8] == 0).all()  # some rows stand still


def test_a_row_that_fills_a_batch_goes_one_mean_step_at_most(small):
    input_rows, targets = torch.full((50, 1), 3), torch.tensor([[1, 2, 4]] * 50)
    inputs, outputs = (table.clone().requires_grad_() for table in (small.inputs, small.outputs))
    (plain_loss(inputs, outputs, input_rows, targets) / 50).backward()
    small.step(input_rows, targets, lr=0.1)
    torch.testing.assert_close(small.inputs, (inputs - inputs.grad).detach())
    torch.testing.assert_close(small.outputs, (outputs - outputs.grad).detach())


def test_noise_has_its_probabilities_and_is_never_the_true_row(small):
    true = np.full(40_000, 5, np.int32)
    noise_rows = small._negatives(true, np.random.default_rng(0))
    assert noise_rows.shape == (40_000, 2)
    shares = np.bincount(noise_rows[noise_rows >= 0], minlength=9) / noise_rows.size
    expected = noise_probabilities(small.sequences.counts, 0.75)
    assert (noise_rows < 0).mean() == pytest.approx(expected[5], abs=0.01)
    expected[5] = 0
    np.testing.assert_allclose(shares, expected, atol=0.01)


@pytest.mark.parametrize("model", ["skip_gram", "cbow"])
def test_near_rows_are_neighbours_more_often(model):
    """One long sequence in which every row occurs once: at distance g of window w in (w - g + 1) of w cases."""
    n = 30_000
    config = Word2VecConfig(model=model, dim=1, window=4, sample=0, negatives=1)
    sequences = Sequences(np.arange(n, dtype=np.int32), np.array([0, n]), n)
    model = Word2Vec(sequences, config)
    input_rows, targets = model._examples(sequences.rows, np.zeros(n, np.int64), np.random.default_rng(0))
    gaps = (input_rows - targets[:, :1])[input_rows >= 0].numpy()
    counts = np.bincount(gaps + 4, minlength=9) / n
    np.testing.assert_allclose(counts, [0.25, 0.5, 0.75, 1, 0, 1, 0.75, 0.5, 0.25], atol=0.02)


def test_frequent_rows_are_passed_over():
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [9000, 900, 100])).astype(np.int32)
    sequences = Sequences(rows, np.array([0, len(rows)]), 3)
    model = Word2Vec(sequences, Word2VecConfig(dim=1, sample=1e-2))
    input_rows, _ = model._examples(rows, np.zeros(len(rows), np.int64), np.random.default_rng(0))
    shares = np.bincount(input_rows[:, 0].numpy(), minlength=3) / len(input_rows)
    keep = sequences.counts * model.keep
    np.testing.assert_allclose(shares, keep / keep.sum(), atol=0.05)
    assert shares[0] < 0.7  # .9 of all


def similarities(vectors):
    table = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (table @ table.T)[np.triu_indices(len(table), 1)]


@pytest.mark.parametrize("model", ["skip_gram", "cbow"])
def test_rows_are_as_similar_as_by_gensim(model):
    """Forty rows in a ring, sequences from all round it: two seeds of gensim correlate by .99."""
    word2vec = pytest.importorskip("gensim.models.word2vec")
    random = np.random.default_rng(0)
    texts = (random.integers(40, size=(400, 1)) + np.rint(random.normal(0, 4, (400, 10))).astype(int)) % 40
    both = {"window": 4, "epochs": 5, "sample": 0, "seed": 3}
    words = [list(map(str, text)) for text in texts]
    theirs = word2vec.Word2Vec(
        words, vector_size=8, alpha=0.05, sg=int(model == "skip_gram"), min_count=1, workers=1, **both
    )
    sequences = Sequences(texts.ravel().astype(np.int32), np.arange(0, texts.size + 1, 10), 40)
    own = Word2Vec(sequences, Word2VecConfig(model=model, dim=8, lr=0.05, batch_size=64, **both))
    fit_vectors(own)
    table = np.stack([theirs.wv[str(row)] for row in range(40)])
    assert np.corrcoef(similarities(own.vectors), similarities(table))[0, 1] > 0.9


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(planted, tmp_path):
    def model():
        return Word2Vec(planted, Word2VecConfig(dim=4, epochs=3, seed=7))

    whole, losses = model(), []
    fit_vectors(whole, after_epoch=lambda epoch, loss: losses.append((epoch, loss)))
    assert [epoch for epoch, _ in losses] == [1, 2, 3]
    assert losses[2][1] < losses[0][1]

    class Stopped(Exception):
        pass

    def stop(epoch, loss):
        if epoch == 2:  # before its checkpoint
            raise Stopped

    with pytest.raises(Stopped):
        fit_vectors(model(), tmp_path / "state.safetensors", stop)
    again, rest = model(), []
    fit_vectors(again, tmp_path / "state.safetensors", lambda *one: rest.append(one))
    assert rest == losses[1:]
    np.testing.assert_array_equal(again.vectors, whole.vectors)

    (tmp_path / "state.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"state.safetensors is damaged"):
        fit_vectors(model(), tmp_path / "state.safetensors")


def test_the_seed_decides(planted):
    def first_epoch(seed):
        model = Word2Vec(planted, Word2VecConfig(dim=4, seed=seed))
        model.epoch(0)
        return model.vectors

    np.testing.assert_array_equal(first_epoch(1), first_epoch(1))
    assert not np.array_equal(first_epoch(1), first_epoch(2))


def test_nothing_to_learn_from_and_bad_settings_are_refused():
    alone = Sequences(np.array([1, 2], np.int32), np.array([0, 1, 2]), 3)
    with pytest.raises(InputError, match="none of 2 sequences has two known words"):
        Word2Vec(alone, Word2VecConfig())
    with pytest.raises(InputError, match="window is 0"):
        Word2VecConfig(window=0)
    with pytest.raises(InputError, match="lr is 0"):
        Word2VecConfig(lr=0)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (Word2VecConfig, {"seed": -1}),
        (Word2VecConfig, {"lr": float("inf")}),
        (Word2VecConfig, {"sample": float("nan")}),
        (Word2VecConfig, {"noise_power": -0.5}),
        (GloveConfig, {"seed": -1}),
        (GloveConfig, {"lr": float("nan")}),
        (GloveConfig, {"alpha": float("inf")}),
    ],
)
def test_settings_that_could_not_be_learned_with(config, settings):
    with pytest.raises(InputError, match=rf"{next(iter(settings))} is .*; it must be a number"):
        config(**settings)
