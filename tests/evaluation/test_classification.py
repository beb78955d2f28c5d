import numpy as np
import pytest
from sklearn import metrics

from recsys_bert.errors import InputError
from recsys_bert.evaluation.classification import (
    auc,
    auc_placements,
    calibration,
    classification_metrics,
    gauc,
    log_loss,
)


@pytest.fixture
def impressions(rng):
    """600 impressions of 40 users with tied scores; users 0 and 1 have one class only."""
    users = rng.integers(0, 40, size=600)
    scores = np.round(rng.random(600), 2)
    labels = (rng.random(600) < scores).astype(np.int8)
    labels[users == 0], labels[users == 1] = 0, 1
    return labels, scores, users


def test_auc_is_the_share_of_ordered_pairs(impressions):
    labels, scores, _ = impressions
    above = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    assert auc(labels, scores) == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)))


def test_gauc_weighs_scikit_learns_auc_of_each_user_by_impressions(impressions):
    labels, scores, users = impressions
    mixed = [u for u in range(40) if 0 < labels[users == u].mean() < 1]
    areas = [metrics.roc_auc_score(labels[users == u], scores[users == u]) for u in mixed]
    weights = [(users == u).sum() for u in mixed]
    inside = gauc(labels, scores, users)
    assert inside.value == pytest.approx(np.average(areas, weights=weights))
    assert (inside.users, inside.one_class_users) == (len(mixed), len(np.unique(users)) - len(mixed))
    assert inside.one_class_users >= 2
    assert inside.impressions + inside.one_class_impressions == 600


def test_gauc_takes_user_names_and_any_order(impressions):
    labels, scores, users = impressions
    names = np.array([f"user-{u}" for u in users])
    backwards = gauc(labels[::-1], scores[::-1], names[::-1])
    assert backwards.value == pytest.approx(gauc(labels, scores, users).value)


def test_gauc_without_a_mixed_user_is_none_and_counted():
    inside = gauc(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3]), np.array([1, 1, 2]))
    assert (inside.value, inside.one_class_users, inside.one_class_impressions) == (None, 2, 3)


def test_log_loss_by_hand():
    expected = -(np.log(0.8) + np.log(0.4)) / 2
    assert log_loss(np.array([1, 0]), np.array([0.8, 0.6])) == pytest.approx(expected)
    assert log_loss(np.array([1, 1]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))  # one class is fine here
    assert np.isfinite(log_loss(np.array([1, 0]), np.array([0.0, 1.0])))


def test_calibration_by_hand():
    result = calibration(np.array([0, 1, 1, 1]), np.array([0.2, 0.2, 0.9, 0.9]), n_bins=2, equal_mass=False)
    assert result.predicted == pytest.approx([0.2, 0.9])
    assert result.observed == [0.5, 1.0]
    assert result.error == pytest.approx((0.3 + 0.1) / 2)
    assert result.count == [2, 2]


def test_calibration_of_true_probabilities_is_near_zero_and_of_shifted_ones_is_the_shift(rng):
    truth = rng.uniform(0.1, 0.6, size=200_000)
    labels = rng.random(200_000) < truth
    assert calibration(labels, truth).error < 0.01
    assert calibration(labels, truth + 0.2).error == pytest.approx(0.2, abs=0.01)


def test_equal_mass_bins_hold_about_equally_many(rng):
    result = calibration(rng.random(1000) < 0.01, rng.beta(1, 99, size=1000), n_bins=10)
    assert len(result.count) == 10
    assert max(result.count) - min(result.count) <= 2
    assert calibration(np.array([0, 1]), np.array([0.3, 0.3]), n_bins=10).count == [2]


def test_figures_hold_every_measure(impressions):
    labels, scores, users = impressions
    result = classification_metrics(labels, scores, users)
    assert result["auc"] == auc(labels, scores)
    assert result["gauc"] == gauc(labels, scores, users).value
    assert result["click_rate"] == pytest.approx(labels.mean())
    assert "gauc" not in classification_metrics(labels, scores)


def test_impressions_without_a_user_are_no_user_of_their_own(impressions):
    labels, scores, users = impressions
    known = np.arange(len(users)) % 3 > 0
    result = classification_metrics(labels, scores, np.where(known, users, -1))
    assert result["gauc"] == gauc(labels[known], scores[known], users[known]).value
    assert result["impressions_without_user"] == (~known).sum()
    assert result["impressions"] == len(users)
    assert "gauc" not in classification_metrics(labels, scores, np.full(len(users), -1))


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [
        ([0, 0], [0.1, 0.2], "all 2 labels are non-clicks"),
        ([1, 1], [0.1, 0.2], "all 2 labels are clicks"),
        ([0, 2], [0.1, 0.2], r"0 or 1, got \[2\]"),
        ([0, 1], [0.1, np.nan], "1 of 2 scores are NaN"),
        ([0, 1], [0.1], "expected two equal"),
        ([], [], "no impressions"),
    ],
)
def test_bad_input_is_refused_with_the_reason(labels, scores, says):
    with pytest.raises(InputError, match=says):
        auc(np.array(labels), np.array(scores))


def test_probabilities_outside_zero_and_one_are_refused():
    with pytest.raises(InputError, match="apply a sigmoid"):
        log_loss(np.array([0, 1]), np.array([-2.0, 3.0]))


def test_auc_placements_average_to_the_auc():
    random = np.random.default_rng(0)
    labels, scores = random.integers(0, 2, 200), random.integers(0, 9, 200) / 9  # with ties
    values = auc_placements(labels, scores)
    assert values.mean() == pytest.approx(metrics.roc_auc_score(labels, scores))
    for one in (0, 1):
        assert values[labels == one].mean() == pytest.approx(metrics.roc_auc_score(labels, scores))
