import itertools

import numpy as np
import pytest
from scipy import stats

from recsys_bert.errors import InputError
from recsys_bert.evaluation.significance import compare, corrected, randomisation_p


def test_p_equals_the_share_of_all_sign_assignments():
    difference = np.array([0.5, 0.2, -0.1, 0.4, 0.3, 0.25, 0.0])
    sums = [abs(np.dot(signs, difference[:6])) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean(np.array(sums) >= difference.sum() - 1e-12)
    assert randomisation_p(difference, samples=40_000) == pytest.approx(exact, abs=0.01)


def test_p_agrees_with_the_t_test_on_many_users(rng):
    first, second = rng.normal(0.03, 0.4, size=1500), rng.normal(0.0, 0.4, size=1500)
    expected = stats.ttest_rel(first, second)
    test = compare(first, second, samples=20_000)
    assert test.p_value == pytest.approx(expected.pvalue, abs=0.015)
    assert test.low == pytest.approx(expected.confidence_interval().low, abs=0.004)
    assert test.high == pytest.approx(expected.confidence_interval().high, abs=0.004)


def test_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(0)
    p = [randomisation_p(rng.normal(size=60), samples=400, seed=i) for i in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_equal_runs_do_not_differ():
    test = compare(np.array([0.1, 0.5]), np.array([0.1, 0.5]))
    assert (test.difference, test.p_value, test.tied) == (0.0, 1.0, 2)


def test_users_without_a_value_are_left_out_and_the_rest_counted():
    test = compare(np.array([1.0, np.nan, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0, 0.0]))
    assert (test.better, test.worse, test.tied) == (2, 1, 1)
    assert test.difference == pytest.approx(0.25)


def test_chunks_do_not_change_p(rng, monkeypatch):
    difference = rng.normal(0.1, 1.0, size=64)  # a multiple of 8: whole bytes of coins
    whole = randomisation_p(difference, samples=500)
    monkeypatch.setattr("recsys_bert.evaluation.significance._CHUNK", 700)
    assert randomisation_p(difference, samples=500) == whole


def test_holm_by_hand():
    assert corrected([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert corrected([0.9, 0.8]) == [1.0, 1.0]
    assert corrected([]) == []


def test_holm_and_bonferroni_by_hand():
    p_values = [0.011, 0.02, 0.3, 0.005]
    bonferroni = [4 * 0.011, 4 * 0.02, 1.0, 4 * 0.005]
    assert corrected(p_values, "bonferroni") == pytest.approx(bonferroni)
    assert corrected(p_values, "holm") == pytest.approx([3 * 0.011, 2 * 0.02, 0.3, 4 * 0.005])
    assert corrected(p_values, "none") == p_values
    assert corrected([], "bonferroni") == []
    with pytest.raises(InputError, match="no correction is called 'sidak'"):
        corrected(p_values, "sidak")


def test_runs_over_other_users_are_refused():
    with pytest.raises(InputError, match="same users"):
        compare(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="nothing to compare"):
        compare(np.array([np.nan]), np.array([1.0]))
