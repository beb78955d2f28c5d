"""What every part of ``WORD_PARTS`` must do."""

import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.tagging.config import LexiconConfig
from nlp_tasks.tagging.words import WORD_PARTS
from nlp_tasks.word_vectors.files import WordVectors
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError

DIM, COUNTS = 8, [1, 1, 9, 4, 2]
REAL = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])
WORDS = torch.tensor([[0, 0, 2, 2], [0, 1, 4, 3], [0, 4, 5, 1], [1, 1, 3, 4], [1, 3, 4, 2]])


@pytest.fixture(params=WORD_PARTS)
def part(request):
    torch.manual_seed(0)
    return build("word part", request.param, WORD_PARTS, DIM, COUNTS, options={}).eval()


@pytest.fixture
def units():
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(1))


def test_one_vector_a_unit(part, units):
    assert part(units, REAL, WORDS).shape == (3, 6, part.out_dim)


def test_padding_and_company_change_nothing(part, units):
    found = part(units, REAL, WORDS)[REAL]
    changed = torch.where(REAL[:, :, None], units, torch.full_like(units, 9.0))
    torch.testing.assert_close(part(changed, REAL, WORDS)[REAL], found)
    own = WORDS[WORDS[:, 0] == 1] * torch.tensor([0, 1, 1, 1])
    alone = part(units[1:2, :4], REAL[1:2, :4], own)
    torch.testing.assert_close(alone[0], part(units, REAL, WORDS)[1, :4])


def test_a_word_changes_its_sentence_and_no_other(part, units):
    before, after = part(units, REAL, WORDS), part(units, REAL, WORDS[1:])
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:][REAL[1:]], after[1:][REAL[1:]])


def test_sentences_without_words(part, units):
    assert torch.isfinite(part(units, REAL, torch.empty(0, 4, dtype=torch.int64))).all()


def test_every_weight_learns(part, units):
    units.requires_grad_()
    part.train()(units, REAL, WORDS)[REAL].square().sum().backward()
    assert units.grad[REAL].abs().sum(1).all()
    assert not units.grad[~REAL].any()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in part.parameters())


def test_order_of_the_words_does_not_matter(part, units):
    turned = WORDS[torch.tensor([2, 1, 0, 4, 3])]
    torch.testing.assert_close(part(units, REAL, turned)[REAL], part(units, REAL, WORDS)[REAL])


def test_its_table_starts_on_word_vectors(part):
    table = part.words
    assert isinstance(table, nn.Embedding)
    vectors = WordVectors(["a"], np.ones((1, table.embedding_dim), np.float32))
    before = table.weight.detach().clone()
    assert start_rows(table, ["", "", "b", "a", "c"], vectors, "width") == 1
    assert (table.weight[3] == table.weight[3, 0]).all()
    torch.testing.assert_close(table.weight[[0, 1, 2, 4]], before[[0, 1, 2, 4]])


def test_soft_lexicon_is_the_papers_formula():
    torch.manual_seed(0)
    part = build("word part", "soft_lexicon", WORD_PARTS, DIM, COUNTS, options={"width": 3})
    table, found = part.words.weight.detach().numpy(), part.sets(REAL, WORDS).detach().numpy()
    for sentence, unit in zip(*REAL.nonzero(as_tuple=True), strict=True):
        sets = {kind: [] for kind in "BMES"}
        for owner, start, stop, row in WORDS.tolist():
            if owner == sentence and start <= unit < stop:
                kind = "S" if stop - start == 1 else "B" if unit == start else "E" if unit == stop - 1 else "M"
                sets[kind].append(row)
        sets = {kind: rows or [0] for kind, rows in sets.items()}
        z = sum(COUNTS[row] for rows in sets.values() for row in rows)
        expected = [4 / z * sum(COUNTS[row] * table[row] for row in rows) for rows in sets.values()]
        np.testing.assert_allclose(found[sentence, unit], np.concatenate(expected), rtol=1e-5)


def test_names_and_options_are_checked():
    with pytest.raises(InputError, match="no word part is called 'softlexicon'; did you mean 'soft_lexicon'"):
        LexiconConfig(name="softlexicon")
    with pytest.raises(InputError, match="both must be at least 1"):
        build("word part", "soft_lexicon", WORD_PARTS, DIM, COUNTS, options={"width": 0})
