"""Decoding a toy model, against all sequences and by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Vocabulary, repeating_tokens
from recsys_bert.decoding.decode import decode, stream
from recsys_bert.decoding.sampling import warp
from recsys_bert.decoding.trie import Trie
from recsys_bert.errors import InputError

STOP = 1
VOCABULARY = Vocabulary(stop=(STOP,), forbidden=(0,))


class Chain:
    """Next token by the two before it; ``starts`` are the first tokens of each input."""

    def __init__(self, starts, size=5, seed=0):
        self.table = torch.tensor(np.random.default_rng(seed).normal(size=(size, size, size)) * 2).float()
        self.before = torch.tensor([[0, start] for start in starts])

    def begin(self):
        return self.table[self.before[:, 0], self.before[:, 1]]

    def step(self, tokens):
        self.before = torch.stack([self.before[:, 1], tokens], 1)
        return self.begin()

    def select(self, rows):
        self.before = self.before[rows]


def all_sequences(start, max_length, length_penalty, size=5, trie=None):
    """Every sequence with its log-probability and score, the best first."""
    scored = {}
    for length in range(1, max_length + 1):
        for tokens in itertools.product(range(1, size), repeat=length):
            if STOP in tokens[:-1] or (tokens[-1] != STOP and length < max_length):
                continue
            model, total = Chain([start]), 0.0
            logits = model.begin()
            for token in tokens:
                total += logits.log_softmax(1)[0, token].item()
                logits = model.step(torch.tensor([token]))
            sequence = tuple(token for token in tokens if token != STOP)
            if trie is None or sequence in trie:
                scored[sequence, tokens[-1] == STOP] = (total, total / length**length_penalty)
    return sorted(scored.items(), key=lambda entry: -entry[1][1])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -1.0])
def test_beam_search_with_room_for_all_is_exhaustive_search(length_penalty):
    config = DecodingConfig(beams=400, n_best=10, max_length=4, length_penalty=length_penalty)
    results = decode(Chain([2, 3, 4]), config, VOCABULARY)
    for start, hypotheses in zip((2, 3, 4), results, strict=True):
        expected = all_sequences(start, 4, length_penalty)[:10]
        assert [(one.tokens, one.finished) for one in hypotheses] == [key for key, _ in expected]
        np.testing.assert_allclose([one.score for one in hypotheses], [score for _, (_, score) in expected], atol=1e-5)
        totals = [total for _, (total, _) in expected]
        np.testing.assert_allclose([one.log_probability for one in hypotheses], totals, atol=1e-5)


def test_a_batch_gives_what_each_input_gives_alone():
    for config in (
        DecodingConfig(beams=3, n_best=3, max_length=6),
        DecodingConfig(search="greedy", max_length=6, repetition_penalty=1.5),
        DecodingConfig(search="sample", n_best=4, max_length=6, top_k=3),
    ):
        together = decode(Chain([2, 3, 4]), config, VOCABULARY)
        assert len(together) == 3
        if config.search != "sample":
            assert together == [decode(Chain([start]), config, VOCABULARY)[0] for start in (2, 3, 4)]
        else:  # an input's draws are those of its number
            assert together[0] == decode(Chain([2]), config, VOCABULARY)[0]
            assert together[:2] == decode(Chain([2, 3]), config, VOCABULARY)
            assert len({one.tokens for one in together[0]}) > 1


def test_greedy_takes_the_most_probable_token_and_streams_it():
    model, expected = Chain([2]), []
    logits = model.begin()
    for _ in range(6):
        logits[:, 0] = -torch.inf
        expected.append(int(logits.argmax()))
        if expected[-1] == STOP:
            break
        logits = model.step(torch.tensor(expected[-1:]))
    steps = list(stream(Chain([2]), DecodingConfig(search="greedy", max_length=6), VOCABULARY))
    assert [step.token for step in steps] == expected
    assert [step.ended for step in steps] == [token == STOP for token in expected]


def test_lengths_are_kept():
    for search in ("greedy", "beam", "sample"):
        config = DecodingConfig(search=search, min_length=3, max_length=5)
        for best, *_ in decode(Chain(range(1, 5), seed=3), config, VOCABULARY):
            assert 3 <= len(best.tokens) <= 5
            assert best.finished == (len(best.tokens) < 5) or len(best.tokens) == 4


def test_no_ngram_occurs_twice_history_included():
    for search in ("greedy", "beam", "sample"):
        config = DecodingConfig(search=search, no_repeat_ngram=2, max_length=12, min_length=12)
        history = [[2, 3, 2], [4, 4]]
        for before, (best, *_) in zip(history, decode(Chain([2, 4]), config, VOCABULARY, history=history), strict=True):
            pairs = list(itertools.pairwise([*before, *best.tokens]))
            assert len(set(pairs)) == len(pairs)
    assert repeating_tokens([5, 6, 7, 5, 6], 3) == [7]
    assert repeating_tokens([5, 6], 1) == [5, 6]
    assert repeating_tokens([5], 3) == []


def test_the_trie_is_never_left_and_beam_search_over_it_is_exact():
    members = {(2, 3, 4), (2, 3), (4, 4, 4), (3, 2, 2)}
    config = DecodingConfig(beams=8, n_best=8, max_length=4)
    (hypotheses,) = decode(Chain([2]), config, VOCABULARY, trie=Trie(members))
    assert [one.tokens for one in hypotheses] == [key for (key, _), _ in all_sequences(2, 4, 1.0, trie=members)]
    for search in ("greedy", "sample"):
        config = DecodingConfig(search=search, max_length=4)
        assert decode(Chain([2, 3, 4]), config, VOCABULARY, trie=Trie(members))[1][0].tokens in members
    codes = {(2, 3, 4), (2, 4, 4), (4, 4, 3)}  # all of one length: no stop token
    config = DecodingConfig(beams=3, n_best=3, max_length=3)
    (hypotheses,) = decode(Chain([3]), config, Vocabulary(forbidden=(0,)), trie=Trie(codes))
    assert {one.tokens for one in hypotheses} == codes
    assert all(one.finished for one in hypotheses)


@pytest.mark.parametrize(
    ("sequences", "stop", "max_length", "message"),
    [
        ([], (STOP,), 4, "the trie is empty"),
        ([(2,), ()], (STOP,), 4, "a sequence of the trie is empty"),
        ([(2, 9)], (STOP,), 4, "the trie holds token 9, but the model has 5; it belongs to another vocabulary"),
        ([(2,), (2, 3)], (), 4, "begins another one; name a stop token"),
        ([(2, 3, 4)], (STOP,), 3, "max_length is 3, but the trie's shortest path has 4 tokens"),
        ([(2, 3), (2, 0)], (STOP,), 4, "the trie holds token 0, which is never generated"),
    ],
)
def test_a_trie_without_a_path_is_refused(sequences, stop, max_length, message):
    for search in ("greedy", "beam"):
        config = DecodingConfig(search=search, max_length=max_length)
        with pytest.raises(InputError, match=message):
            decode(Chain([2]), config, Vocabulary(stop=stop, forbidden=(0,)), trie=Trie(sequences))


def test_where_nothing_may_follow_it_says_so():
    for search in ("greedy", "beam", "sample"):
        config = DecodingConfig(search=search, min_length=2, max_length=3)
        with pytest.raises(InputError, match="no token may follow: trie, min_length"):
            decode(Chain([2]), config, Vocabulary(stop=(STOP,), forbidden=(0, 2, 3, 4)))
    config = DecodingConfig(search="greedy", no_repeat_ngram=1, max_length=9, min_length=9)
    ((best,),) = decode(Chain([2]), config, VOCABULARY)
    assert sorted(best.tokens) == [2, 3, 4]  # then nothing is left
    assert not best.finished


def test_samples_follow_the_probabilities():
    config = DecodingConfig(search="sample", n_best=4000, max_length=1, temperature=0.7)
    (hypotheses,) = decode(Chain([3]), config, VOCABULARY)
    logits = Chain([3]).begin()[0]
    logits[0] = -torch.inf
    expected = (logits / 0.7).softmax(0).numpy()
    samples = [one.tokens[0] if one.tokens else STOP for one in hypotheses]
    np.testing.assert_allclose(np.bincount(samples, minlength=5) / 4000, expected, atol=0.03)
    again = decode(Chain([3]), config, VOCABULARY)
    assert again == [hypotheses]
    other = decode(Chain([3]), DecodingConfig(search="sample", n_best=4000, max_length=1, seed=1), VOCABULARY)
    assert other != [hypotheses]


def test_top_k_and_nucleus_by_hand():
    scores = torch.tensor([[math.log(p) for p in (0.5, 0.2, 0.2, 0.1)]])
    likely = lambda **settings: (warp(scores, DecodingConfig(search="sample", **settings)) > -torch.inf)[0].tolist()  # noqa: E731
    assert likely(top_k=1) == [True, False, False, False]
    assert likely(top_p=0.5) == [True, False, False, False]
    assert likely(top_p=0.51) == [True, True, False, False]
    assert likely(top_p=0.95) == [True, True, True, True]
    assert likely(top_p=1e-9) == [True, False, False, False]
    assert likely(top_k=9) == [True] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": "beem"}, "no search is called 'beem'; did you mean 'beam'"),
        ({"beams": 0}, "beams is 0; it must be at least 1"),
        ({"n_best": 5}, "n_best is 5, more than beams 4 can give"),
        ({"search": "greedy", "n_best": 2}, "n_best is 2, but search 'greedy' finds one"),
        ({"temperature": 0.5}, "temperature is 0.5, but search is 'beam': it has no effect"),
        ({"search": "sample", "beams": 2}, "beams is 2, but search is 'sample'"),
        ({"search": "sample", "temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"search": "sample", "temperature": float("nan")}, "temperature is nan"),
        ({"search": "sample", "top_p": 0.0}, r"top_p is 0.0; it must lie in \(0, 1\]"),
        ({"search": "sample", "top_p": 1.1}, r"top_p is 1.1"),
        ({"search": "sample", "top_k": -1}, "top_k is -1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; it must be above 0"),
        ({"min_length": 9, "max_length": 8}, "min_length is 9, above max_length 8"),
        ({"max_length": 0}, "max_length is 0; it must be at least 1"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DecodingConfig(**settings)


def test_beams_are_not_streamed():
    with pytest.raises(InputError, match="search 'beam' revises its tokens"):
        next(stream(Chain([2]), DecodingConfig(), VOCABULARY))
