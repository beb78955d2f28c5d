"""Drawing negatives by counting draws."""

import numpy as np
import pytest

from recsys_bert.retrieval.negatives import NegativeSampler

COUNTS = np.array([0, 0, 0, 500, 300, 150, 40, 10])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_items_are_drawn_in_proportion_to_count_to_a_power(power):
    sampler = NegativeSampler(COUNTS, first_item=3, n=10_000, power=power)  # for each of 5 histories
    drawn = np.bincount(sampler.draw(np.random.default_rng(0), 5).ravel(), minlength=8)
    shares = COUNTS[3:] ** power / (COUNTS[3:] ** power).sum()
    np.testing.assert_allclose(drawn[3:] / 50_000, shares, atol=0.008)
    assert not drawn[:3].any()
    np.testing.assert_allclose(sampler.expected_draws, [0, 0, 0, *(10_000 * shares)])


def test_draws_follow_from_the_generator_alone():
    sampler = NegativeSampler(COUNTS, first_item=3, n=20, power=1.0)
    first, second = (sampler.draw(np.random.default_rng(4), 2) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first.shape == (2, 20)
