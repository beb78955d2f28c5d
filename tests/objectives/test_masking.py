"""Masking by counting what it does to many histories."""

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.objectives.masked import Masked
from recsys_bert.objectives.masking import choose_positions, corrupt
from recsys_bert.objectives.sequences import TokenTable

BATCH, SEQ = 4000, 50
DEFAULTS = {"mask_prob": 0.2, "last_only_prob": 0.1}


@pytest.fixture
def lengths():
    return np.random.default_rng(1).integers(1, SEQ + 1, BATCH)


def choose(lengths, seed=0, **settings):
    allowed = np.arange(SEQ) < lengths[:, None]
    return choose_positions(allowed, np.random.default_rng(seed), **DEFAULTS | settings)


def test_every_history_has_a_target_and_padding_never(lengths):
    for settings in ({}, {"mask_prob": 0.01}, {"last_only_prob": 0.3, "span_prob": 0.4}, {"last_only_prob": 1.0}):
        masked = choose(lengths, **settings)
        assert masked.any(axis=1).all()
        assert not masked[np.arange(SEQ) >= lengths[:, None]].any()


def test_the_share_of_masked_positions():
    masked = choose(np.full(BATCH, SEQ), mask_prob=0.3, last_only_prob=0.0)
    assert masked.mean() == pytest.approx(0.3, abs=0.005)
    np.testing.assert_allclose(masked.mean(axis=0), 0.3, atol=0.04)  # no position is preferred


def test_the_share_of_histories_with_the_last_position_alone():
    masked = choose(np.full(BATCH, SEQ), mask_prob=0.5, last_only_prob=0.2, span_prob=0.3)
    alone = masked[:, -1] & (masked.sum(axis=1) == 1)
    assert alone.mean() == pytest.approx(0.2, abs=0.025)


def test_last_means_the_last_real_position(lengths):
    masked = choose(lengths, last_only_prob=1.0, span_prob=0.0)
    np.testing.assert_array_equal(np.nonzero(masked)[1], lengths - 1)


def test_spans_are_runs_that_cover_the_same_share():
    masked = choose(np.full(BATCH, SEQ), mask_prob=0.15, last_only_prob=0.0, span_prob=1.0, span_length=4.0)
    assert masked[:, 12:].mean() == pytest.approx(0.15, abs=0.01)  # the left edge has fewer runs that reach it
    padded = np.pad(masked, ((0, 0), (1, 1)))
    runs = (padded[:, 1:] & ~padded[:, :-1]).sum()
    assert 3.0 < masked.sum() / runs < 5.5  # runs may touch, and the right edge cuts some
    alone = choose(np.full(BATCH, SEQ), mask_prob=0.15, last_only_prob=0.0)
    single = np.pad(alone, ((0, 0), (1, 1)))
    assert alone.sum() / (single[:, 1:] & ~single[:, :-1]).sum() < 1.3


def test_the_kinds_are_mixed_by_their_shares():
    masked = choose(np.full(BATCH, SEQ), mask_prob=0.3, last_only_prob=0.25, span_prob=0.5, span_length=5.0)
    neighbours = (masked[:, 1:] & masked[:, :-1]).sum(axis=1) / np.maximum(masked.sum(axis=1), 1)
    assert (masked.sum(axis=1) == 1).mean() == pytest.approx(0.25, abs=0.05)
    assert (neighbours > 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_ngrams_are_short_runs_that_cover_the_same_share():
    masked = choose(np.full(BATCH, SEQ), mask_prob=0.05, last_only_prob=0.0, ngram_prob=1.0, ngram_max=3)
    assert masked[:, 3:-1].mean() == pytest.approx(0.05, abs=0.004)
    padded = np.pad(masked, ((0, 0), (1, 1))).astype(int)
    starts, stops = (np.nonzero(np.diff(padded, axis=1) == edge) for edge in (1, -1))
    lengths = (stops[1] - starts[1])[stops[1] < SEQ]  # those that the right edge cuts are shorter
    shares = np.bincount(lengths, minlength=6)[:6] / len(lengths)
    np.testing.assert_allclose(shares[1:4], np.array([6, 3, 2]) / 11, atol=0.04)  # 1 : 1/2 : 1/3
    assert shares[4:].sum() < 0.08  # runs that touch


def words_of(lengths, seed=3):
    """Random words of one to four positions."""
    random = np.random.default_rng(seed)
    starts = random.random((len(lengths), SEQ)) < 0.5
    starts[:, 0] = False
    return np.where(np.arange(SEQ) < lengths[:, None], np.cumsum(starts, axis=1), 0)


def test_words_are_masked_whole_or_not_at_all(lengths):
    words, mask = words_of(lengths), np.arange(SEQ) < lengths[:, None]
    for settings in ({"span_prob": 0.5}, {"last_only_prob": 1.0}, {"ngram_prob": 1.0, "last_only_prob": 0.0}):
        masked = choose(lengths, words=words, **settings)
        assert not masked[~mask].any()
        assert masked.any(axis=1).all()
        together = (words[:, 1:] == words[:, :-1]) & mask[:, 1:]
        np.testing.assert_array_equal(masked[:, 1:][together], masked[:, :-1][together])
    last_only = choose(lengths, words=words, last_only_prob=1.0)
    np.testing.assert_array_equal(last_only, mask & (words == words[np.arange(BATCH), lengths - 1][:, None]))


def test_words_cover_the_same_share():
    lengths = np.full(BATCH, SEQ)
    masked = choose(lengths, words=words_of(lengths), mask_prob=0.15, last_only_prob=0.0)
    assert masked.mean() == pytest.approx(0.15, abs=0.01)


def test_words_of_one_position_change_nothing(lengths):
    shorter = np.append(lengths[1:], SEQ)
    each = np.where(np.arange(SEQ) < shorter[:, None], np.arange(SEQ), 0)
    settings = {"span_prob": 0.3, "ngram_prob": 0.2}
    np.testing.assert_array_equal(choose(shorter, words=each, **settings), choose(shorter, **settings))


def test_a_position_that_is_not_allowed_is_never_chosen(lengths):
    allowed = np.random.default_rng(4).random((BATCH, SEQ)) < 0.3
    allowed[:100] = False
    allowed &= np.arange(SEQ) < lengths[:, None]
    for fallback in ("last", "any"):
        for settings in ({}, {"last_only_prob": 1.0}, {"mask_prob": 0.001, "span_prob": 0.5}):
            random = np.random.default_rng(0)
            masked = choose_positions(allowed, random, fallback=fallback, **DEFAULTS | settings)
            assert not masked[~allowed].any()
            np.testing.assert_array_equal(masked.any(axis=1), allowed.any(axis=1))


def test_any_one_position_makes_up_for_none():
    rare = {"mask_prob": 1e-9, "last_only_prob": 0.0}
    lengths = np.full(BATCH, SEQ)
    masked = choose(lengths, fallback="any", **rare)
    assert (masked.sum(axis=1) == 1).all()
    np.testing.assert_allclose(masked.mean(axis=0), 1 / SEQ, atol=0.01)
    assert choose(lengths, **rare)[:, -1].all()


@pytest.fixture
def tokens():
    return np.random.default_rng(2).integers(100, 10_100, (BATCH, SEQ)).astype(np.int32)


def hide(tokens, masked, seed=0, replace_prob=0.1, keep_prob=0.1):
    table, random = TokenTable(mask=1, first=100, size=10_100), np.random.default_rng(seed)
    return corrupt(tokens, masked, table, random, replace_prob=replace_prob, keep_prob=keep_prob)


def test_eighty_ten_ten(tokens, lengths):
    corrupted, positions, targets = hide(tokens, choose(lengths))
    inputs = corrupted.reshape(-1)[positions]
    assert (inputs == 1).mean() == pytest.approx(0.8, abs=0.01)
    assert (inputs == targets).mean() == pytest.approx(0.1, abs=0.01)
    replaced = inputs[(inputs != 1) & (inputs != targets)]
    assert len(replaced) / len(inputs) == pytest.approx(0.1, abs=0.01)
    assert replaced.min() < 300  # drawn from the whole range
    assert 9_900 < replaced.max() < 10_100


def test_other_shares(tokens, lengths):
    corrupted, positions, _ = hide(tokens, choose(lengths), replace_prob=0.0, keep_prob=0.0)
    assert (corrupted.reshape(-1)[positions] == 1).all()
    corrupted, _, _ = hide(tokens, choose(lengths), replace_prob=0.0, keep_prob=1.0)
    np.testing.assert_array_equal(corrupted, tokens)


def test_targets_are_the_originals_and_the_rest_is_untouched(tokens, lengths):
    before, masked = tokens.copy(), choose(lengths)
    corrupted, positions, targets = hide(tokens, masked)
    np.testing.assert_array_equal(tokens, before)
    np.testing.assert_array_equal(targets, tokens[masked])
    np.testing.assert_array_equal(corrupted[~masked], tokens[~masked])
    np.testing.assert_array_equal(positions, np.flatnonzero(masked))
    assert corrupted.dtype == tokens.dtype


def test_masks_follow_from_the_generator_alone(tokens, lengths):
    first, second, third = (hide(tokens, choose(lengths, seed), seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_prob": 0.0},
        {"last_only_prob": 0.6, "span_prob": 0.5},
        {"keep_prob": -0.1},
        {"span_length": 0.5},
        {"ngram_max": 0},
        {"ngram_prob": 0.95, "last_only_prob": 0.1},
        {"span_length": 4.0},
        {"ngram_max": 2},
    ],
)
def test_shares_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match=r"^objective_options: "):
        Masked(**settings)
