import math

import numpy as np
import pytest

from recsys_bert.errors import InputError
from recsys_bert.evaluation.beyond_accuracy import beyond_accuracy, gini

COUNTS = np.array([0, 0, 0, 8, 4, 2, 1, 1])  # rows 3..7 are items; 16 events


def test_by_hand():
    ranked = np.array([[3, 4, 6], [3, 5, 6], [3, -1, -1]])
    metrics = beyond_accuracy(ranked, COUNTS, np.array([5, 5]), k=2, first_item=3)
    assert metrics["coverage"] == pytest.approx(3 / 5)
    assert metrics["novelty"] == pytest.approx((3 * 1 + 2 + 3) / 5)  # 8/16 is 1 bit, 4/16 is 2, 2/16 is 3
    assert metrics["popularity"] == pytest.approx((3 * 8 + 4 + 2) / 5)
    assert metrics["popularity_bias"] == pytest.approx(6 / 2)
    assert metrics["head_share"] == pytest.approx(3 / 5)  # a fifth of five items is row 3
    assert metrics["list_length"] == pytest.approx(5 / 3)


def test_gini_is_half_the_relative_mean_difference(rng):
    exposure = rng.integers(0, 50, size=30)
    mean_difference = np.abs(exposure[:, None] - exposure[None, :]).mean()
    assert gini(exposure) == pytest.approx(mean_difference / (2 * exposure.mean()))
    assert gini(np.full(7, 3)) == pytest.approx(0.0)
    assert gini(np.array([0] * 99 + [5])) == pytest.approx(0.99)


def test_a_cold_item_counts_as_one_event():
    metrics = beyond_accuracy(np.array([[2]]), np.array([0, 15, 0]), np.array([0, 2]), k=1, first_item=1)
    assert metrics["novelty"] == pytest.approx(math.log2(15))
    assert metrics["popularity_bias"] is None  # users took only items without events


def test_empty_lists_have_no_figures():
    metrics = beyond_accuracy(np.full((2, 3), -1), COUNTS, np.array([3]), k=3, first_item=3)
    assert metrics["coverage"] == 0.0
    assert metrics["gini"] is metrics["novelty"] is metrics["popularity_bias"] is None


def test_rows_outside_the_catalogue_are_refused():
    with pytest.raises(InputError, match="row 9 was recommended; the catalogue ends at row 7"):
        beyond_accuracy(np.array([[9]]), COUNTS, np.array([3]), k=1, first_item=3)
