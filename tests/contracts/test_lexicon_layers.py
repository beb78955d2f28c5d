"""Contract of every layer of ``LEXICON_LAYERS``."""

import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.tagging.config import LexiconConfig
from nlp_tasks.tagging.lexicon import LEXICON_LAYERS
from nlp_tasks.word_vectors.files import WordVectors
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError

DIM, COUNTS = 8, [1, 1, 9, 4, 2]
REAL = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])
WORDS = torch.tensor([[0, 0, 2, 2], [0, 1, 4, 3], [0, 4, 5, 1], [1, 1, 3, 4], [1, 3, 4, 2]])


@pytest.fixture(params=LEXICON_LAYERS)
def layer(request):
    torch.manual_seed(0)
    return build("lexicon layer", request.param, LEXICON_LAYERS, DIM, COUNTS, options={}).eval()


@pytest.fixture
def characters():
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(1))


def test_one_vector_a_unit(layer, characters):
    assert layer(characters, REAL, WORDS).shape == (3, 6, layer.out_dim)


def test_padding_and_company_change_nothing(layer, characters):
    outputs = layer(characters, REAL, WORDS)[REAL]
    changed = torch.where(REAL[:, :, None], characters, torch.full_like(characters, 9.0))
    torch.testing.assert_close(layer(changed, REAL, WORDS)[REAL], outputs)
    alone_words = WORDS[WORDS[:, 0] == 1] * torch.tensor([0, 1, 1, 1])
    alone = layer(characters[1:2, :4], REAL[1:2, :4], alone_words)
    torch.testing.assert_close(alone[0], layer(characters, REAL, WORDS)[1, :4])


def test_a_word_changes_its_sentence_and_no_other(layer, characters):
    before, after = layer(characters, REAL, WORDS), layer(characters, REAL, WORDS[1:])
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:][REAL[1:]], after[1:][REAL[1:]])


def test_sentences_without_words(layer, characters):
    assert torch.isfinite(layer(characters, REAL, torch.empty(0, 4, dtype=torch.int64))).all()


def test_every_weight_learns(layer, characters):
    characters.requires_grad_()
    layer.train()(characters, REAL, WORDS)[REAL].square().sum().backward()
    assert characters.grad[REAL].abs().sum(1).all()
    assert not characters.grad[~REAL].any()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in layer.parameters())


def test_order_of_the_words_does_not_matter(layer, characters):
    turned = WORDS[torch.tensor([2, 1, 0, 4, 3])]
    torch.testing.assert_close(layer(characters, REAL, turned)[REAL], layer(characters, REAL, WORDS)[REAL])


def test_its_table_starts_on_word_vectors(layer):
    table = layer.embedding
    assert isinstance(table, nn.Embedding)
    vectors = WordVectors(["a"], np.ones((1, table.embedding_dim), np.float32))
    before = table.weight.detach().clone()
    assert start_rows(table, ["", "", "b", "a", "c"], vectors, "width") == 1
    assert (table.weight[3] == table.weight[3, 0]).all()
    torch.testing.assert_close(table.weight[[0, 1, 2, 4]], before[[0, 1, 2, 4]])


def test_soft_lexicon_is_the_papers_formula():
    torch.manual_seed(0)
    layer = build("lexicon layer", "soft_lexicon", LEXICON_LAYERS, DIM, COUNTS, options={"width": 3})
    table, sets_of = layer.embedding.weight.detach().numpy(), layer.sets(REAL, WORDS).detach().numpy()
    for sentence, character in zip(*REAL.nonzero(as_tuple=True), strict=True):
        sets = {kind: [] for kind in "BMES"}
        for owner, start, stop, row in WORDS.tolist():
            if owner == sentence and start <= character < stop:
                kind = (
                    "S" if stop - start == 1 else "B" if character == start else "E" if character == stop - 1 else "M"
                )
                sets[kind].append(row)
        sets = {kind: rows or [0] for kind, rows in sets.items()}
        z = sum(COUNTS[row] for rows in sets.values() for row in rows)
        expected = [4 / z * sum(COUNTS[row] * table[row] for row in rows) for rows in sets.values()]
        np.testing.assert_allclose(sets_of[sentence, character], np.concatenate(expected), rtol=1e-5)


def test_names_and_options_are_checked():
    with pytest.raises(InputError, match="no lexicon layer is called 'softlexicon'; did you mean 'soft_lexicon'"):
        LexiconConfig(name="softlexicon")
    with pytest.raises(InputError, match="both must be at least 1"):
        build("lexicon layer", "soft_lexicon", LEXICON_LAYERS, DIM, COUNTS, options={"width": 0})
