"""Negatives are drawn as often as their expected draws say."""

import numpy as np
import pytest

from recsys_bert.losses.config import NegativesConfig
from recsys_bert.losses.negatives import NegativeSampler, expected_draws, history_hits

COUNTS = np.array([0, 0, 0, 50, 30, 15, 5])
FIRST = 3


@pytest.mark.parametrize(
    "settings",
    [
        {"uniform": 10},
        {"uniform": 10, "popularity_power": 1.0},
        {"uniform": 10, "popularity_power": 0.5},
        {"in_batch": 6, "uniform": 4},
        {"in_batch": 10, "uniform": 0},
    ],
    ids=str,
)
def test_draws_are_as_frequent_as_expected(settings):
    config = NegativesConfig(**settings)
    targets = np.repeat(np.arange(len(COUNTS)), COUNTS)  # a batch that is distributed as the log
    rows = NegativeSampler(COUNTS, FIRST, config).draw(np.random.default_rng(0), targets, 20_000)
    assert rows.shape == (20_000, 10)
    frequencies = np.bincount(rows.ravel(), minlength=len(COUNTS)) / 20_000
    np.testing.assert_allclose(frequencies, expected_draws(COUNTS, FIRST, config), atol=0.05)
    assert not frequencies[:FIRST].any()


def test_a_batch_without_targets_has_catalogue_negatives_alone():
    sampler = NegativeSampler(COUNTS, FIRST, NegativesConfig(in_batch=6, uniform=4))
    assert sampler.draw(np.random.default_rng(0), np.zeros(0, np.int32), 3).shape == (3, 4)


def test_history_hits_are_those_of_a_plain_loop():
    random = np.random.default_rng(0)
    items, negatives = random.integers(0, 30, (7, 9)).astype(np.int32), random.integers(3, 40, (7, 25))
    expected = [[negative in row for negative in drawn_row] for row, drawn_row in zip(items, negatives, strict=True)]
    np.testing.assert_array_equal(history_hits(items, negatives), expected)
    assert history_hits(items, negatives[:, :0]).shape == (7, 0)


def test_hits_come_with_the_batch_where_they_are_masked_out():
    items = np.array([[3, 4, 0]], np.int32)
    for masked in (False, True):
        batch = {"targets": np.array([4])}
        config = NegativesConfig(uniform=50, mask_history_hits=masked)
        NegativeSampler(COUNTS, FIRST, config).add_to(batch, items, np.random.default_rng(0))
        assert ("history_hits" in batch) is masked
        assert batch["negatives"].shape == (1, 50)
