"""Fusions against their formulas."""

import math

import pytest
import torch

from recsys_bert.encoder.fusions.last import Last
from recsys_bert.encoder.fusions.layer_attention import LayerAttention
from recsys_bert.encoder.fusions.pool import Pool
from recsys_bert.encoder.fusions.scalar_mix import ScalarMix
from recsys_bert.encoder.fusions.token_mix import TokenMix
from recsys_bert.errors import InputError


@pytest.fixture
def states() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, 4) for _ in range(4)]


def test_last_is_the_last(states):
    assert Last(4, 3)(states) is states[-1]


def test_scalar_mix_starts_as_the_mean_and_follows_its_weights(states):
    mix = ScalarMix(4, 3)
    torch.testing.assert_close(mix(states), sum(states) / 4)
    with torch.no_grad():
        mix.mix.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
        mix.gamma.fill_(3.0)
    shares = [math.exp(w) for w in (0, 1, -1, 2)]
    expected = 3 * sum(share / sum(shares) * state for share, state in zip(shares, states, strict=True))
    torch.testing.assert_close(mix(states), expected)
    torch.testing.assert_close(mix.weights(), torch.tensor(shares) / sum(shares))


def test_scalar_mix_normalises_each_position_by_itself(states):
    states = [10**layer * state for layer, state in enumerate(states)]
    expected = torch.zeros(2, 3, 4)
    for row in range(2):
        for place in range(3):
            for state in states:
                x = state[row, place]
                expected[row, place] += (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() / 4
    torch.testing.assert_close(ScalarMix(4, 3, layer_norm=True)(states), expected)


@pytest.mark.parametrize("normalise", [True, False])
def test_token_mix_weighs_every_layer_at_every_position(states, normalise: bool):
    mix = TokenMix(4, 3, normalise=normalise)
    for row in range(2):
        for place in range(3):
            alpha = [
                (scorer.weight @ s[row, place] + scorer.bias).item()
                for scorer, s in zip(mix.scorers, states, strict=True)
            ]
            if normalise:
                alpha = [math.exp(a) / sum(map(math.exp, alpha)) for a in alpha]
            mixed = sum(a * s[row, place] for a, s in zip(alpha, states, strict=True))
            torch.testing.assert_close(mix(states)[row, place], mix.out.weight @ mixed + mix.out.bias)
            torch.testing.assert_close(mix.weights(states)[row, place], torch.tensor(alpha))


def test_token_mix_normalises_unless_told_otherwise():
    assert TokenMix(4, 3).normalise


def test_layer_attention_starts_as_the_mean_of_the_layers_and_asks_each_of_them(states):
    fusion = LayerAttention(4, 3)
    torch.testing.assert_close(fusion(states), fusion.out(sum(states[1:]) / 3))
    torch.nn.init.normal_(fusion.query)
    for row in range(2):
        for place in range(3):
            shares = [math.exp((fusion.query @ state[row, place]).item()) for state in states[1:]]
            mixed = sum(share / sum(shares) * s[row, place] for share, s in zip(shares, states[1:], strict=True))
            torch.testing.assert_close(fusion(states)[row, place], fusion.out.weight @ mixed)


def test_layer_attention_refuses_to_attend_to_no_layer():
    with pytest.raises(InputError, match="n_layers is 0; layer_attention needs at least 1"):
        LayerAttention(4, 0)


def test_pool_takes_the_last_n(states):
    torch.testing.assert_close(Pool(4, 3, how="sum", last_n=2)(states), states[2] + states[3])
    torch.testing.assert_close(Pool(4, 3, how="mean", last_n=4)(states), sum(states) / 4)
    largest = torch.maximum(torch.maximum(states[1], states[2]), states[3])
    torch.testing.assert_close(Pool(4, 3, how="max", last_n=3)(states), largest)


@pytest.mark.parametrize("last_n", [0, 5])
def test_pool_refuses_more_layers_than_there_are(last_n: int):
    with pytest.raises(InputError, match=f"last_n is {last_n}; with n_layers 3 it must lie in 1 to 4"):
        Pool(4, 3, last_n=last_n)


def test_pool_refuses_an_unknown_way():
    with pytest.raises(InputError, match="no pooling is called 'meam'; did you mean 'mean'"):
        Pool(4, 3, how="meam")
