import pytest
import torch

from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5, 3, 4], [4, 3, 4, 0, 0]])


@pytest.fixture
def ngrams():
    torch.manual_seed(0)
    part = NGrams(3, 10_007, 8)
    torch.nn.init.normal_(part.table.weight)
    return part


def test_runs_end_where_they_are_added_and_are_the_same_everywhere(ngrams):
    pairs, triples = ngrams.rows(TOKENS, TOKENS != 0)
    same = {(int(a), int(b)) for a, b in zip(TOKENS[0, :-1], TOKENS[0, 1:], strict=True)}
    assert len(set(pairs[0, 1:].tolist())) == len(same) == 3
    assert pairs[0, 1] == pairs[0, 4] == pairs[1, 2]  # 3 4
    assert pairs[1, 1] not in pairs[0]  # 4 3, which the first row has not: order counts
    assert pairs[:, 0].eq(0).all()
    assert triples[:, :2].eq(0).all()
    assert triples[0, 2:].unique().numel() == 3
    assert pairs[1, 3:].eq(0).all()
    assert triples[1, 3:].eq(0).all()
    table = ngrams.table.weight
    expected = table[pairs[0, 2]] + table[triples[0, 2]]
    torch.testing.assert_close(ngrams(TOKENS, TOKENS != 0)[0, 2], expected)


def test_rows_are_spread_over_the_table(ngrams):
    every = torch.cartesian_prod(torch.arange(1, 101), torch.arange(1, 101))
    rows = ngrams.rows(every, every != 0)[0][:, 1]
    assert rows.min() >= 1
    assert rows.max() < 10_007
    counts = torch.bincount(rows, minlength=10_007).double()
    assert counts.var() / counts.mean() < 1.1  # at random: 1
    near = ngrams.rows(every[:, [1, 0]], every != 0)[0][:, 1]
    assert (near == rows).sum() < 200  # a hundred of them are a token twice


def test_int32_tokens_have_the_rows_of_int64(ngrams):
    for one, other in zip(ngrams.rows(TOKENS, TOKENS != 0), ngrams.rows(TOKENS.int(), TOKENS != 0), strict=True):
        assert torch.equal(one, other)


def test_an_encoder_starts_as_without_runs_and_learns_them(make):
    plain, encoder = make(), make(ngrams=2, ngram_rows=50)
    encoder.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(encoder(TOKENS[:, :3]).tokens, plain(TOKENS[:, :3]).tokens)
    (encoder(TOKENS[:, :3]).tokens * torch.arange(8)).sum().backward()  # a plain sum of normed states is constant
    used = encoder.embeddings.ngrams.rows(TOKENS[:, :3], TOKENS[:, :3] != 0)[0].unique()
    touched = encoder.embeddings.ngrams.table.weight.grad.abs().sum(1).nonzero().squeeze(1)
    assert set(touched.tolist()) == set(used.tolist()) - {0}


def test_causal_encoders_stay_causal(make):
    encoder = make(ngrams=3, attention="causal", position="start")
    torch.nn.init.normal_(encoder.embeddings.ngrams.table.weight)
    later = TOKENS[:1].clone()
    later[0, 3] = 6
    before, after = encoder(TOKENS[:1]).tokens, encoder(later).tokens
    torch.testing.assert_close(before[0, :3], after[0, :3])
    assert not torch.allclose(before[0, 4], after[0, 4])


@pytest.mark.parametrize(
    ("setting", "message"), [({"ngrams": 0}, "ngrams is 0"), ({"ngram_rows": 1}, "ngram_rows is 1")]
)
def test_settings_that_cannot_be(make, setting, message):
    with pytest.raises(InputError, match=message):
        make(**setting)
