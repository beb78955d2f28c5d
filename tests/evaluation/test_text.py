"""Measures against scikit-learn's, thresholds against trying all of them."""

import numpy as np
import pytest
from sklearn import metrics

from recsys_bert.evaluation.text import best_threshold, best_thresholds, multi_label_metrics, single_label_metrics

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def random():
    return np.random.default_rng(4)


def test_one_label_each(random):
    targets = random.integers(0, 3, 200)  # nobody has "d"
    probabilities = random.dirichlet(np.ones(4), 200)
    probabilities[np.arange(200), targets] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    values = single_label_metrics(targets, probabilities, NAMES)
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert values["log_loss"] == pytest.approx(metrics.log_loss(targets, probabilities, labels=range(4)))
    p, r, f, n = metrics.precision_recall_fscore_support(targets, predicted, labels=range(4), zero_division=0)
    for label, one in enumerate(values["classes"]):
        assert one == pytest.approx(
            {"label": NAMES[label], "precision": p[label], "recall": r[label], "f1": f[label], "examples": n[label]}
        )
    assert values["macro_f1"] == pytest.approx(f.mean())
    assert values["confusion"] == metrics.confusion_matrix(targets, predicted, labels=range(4)).tolist()
    assert "auc" not in values


def test_two_classes(random):
    targets, scores = random.integers(0, 2, 100), random.random(100)
    values = single_label_metrics(targets, np.stack([1 - scores, scores], axis=1), ["no", "yes"])
    assert values["f1"] == pytest.approx(metrics.f1_score(targets, scores > 0.5))
    assert values["auc"] == pytest.approx(metrics.roc_auc_score(targets, scores))
    one = single_label_metrics(np.zeros(3, int), np.full((3, 2), 0.5), ["no", "yes"])
    assert "auc" not in one  # nothing to rank
    assert one["accuracy"] == 1.0


def test_several_labels(random):
    targets, probabilities = random.integers(0, 2, (80, 4)), random.random((80, 4))
    targets[:, 3] = 0
    holds = probabilities > 0.4
    values = multi_label_metrics(targets, probabilities, holds, NAMES)
    assert values["micro_f1"] == pytest.approx(metrics.f1_score(targets, holds, average="micro"))
    assert values["macro_f1"] == pytest.approx(metrics.f1_score(targets, holds, average="macro", zero_division=0))
    assert values["exact"] == pytest.approx(metrics.accuracy_score(targets, holds))
    precision = metrics.average_precision_score(targets[:, :3], probabilities[:, :3], average="macro")
    assert values["average_precision"] == pytest.approx(precision)
    assert [one["examples"] for one in values["classes"]] == targets.sum(axis=0).tolist()


def f1(targets, predicted):
    return metrics.f1_score(targets, predicted, zero_division=0)


@pytest.mark.slow
@pytest.mark.parametrize(("measure", "score"), [("f1", f1), ("accuracy", metrics.accuracy_score)])
@pytest.mark.parametrize("digits", [1, 8])
def test_no_threshold_is_better(random, measure, score, digits):
    for _ in range(20):
        targets = random.integers(0, 2, 30)
        scores = np.round(random.random(30), digits)  # with one digit, many are equal
        threshold = best_threshold(targets, scores, measure)
        best = max(score(targets, scores >= cut) for cut in [*scores, 2.0])
        assert score(targets, scores >= threshold) == pytest.approx(best)


def test_the_threshold_lies_between_the_scores():
    assert best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9]), "accuracy") == pytest.approx(0.4)
    assert best_threshold(np.array([1, 1]), np.array([0.3, 0.5]), "f1") == 0.3
    assert best_threshold(np.array([0, 0]), np.array([0.3, 0.5]), "accuracy") > 0.5
    low, high = 0.5, np.nextafter(0.5, 1)
    assert best_threshold(np.array([0, 1]), np.array([low, high]), "accuracy") == high


@pytest.mark.slow
def test_thresholds_of_labels(random):
    targets, probabilities = random.integers(0, 2, (50, 4)), random.random((50, 4))
    targets[:, 2] = 0
    own = best_thresholds(targets, probabilities, "per_label")
    for label in (0, 1, 3):
        best = max(f1(targets[:, label], probabilities[:, label] >= cut) for cut in probabilities[:, label])
        assert f1(targets[:, label], probabilities[:, label] >= own[label]) == pytest.approx(best)
    assert own[2] == 0.5  # nothing is known of it
    shared = best_thresholds(targets, probabilities, "shared")
    assert len(set(shared)) == 1
    best = max(metrics.f1_score(targets, probabilities >= cut, average="micro") for cut in probabilities.flatten())
    assert metrics.f1_score(targets, probabilities >= shared, average="micro") == pytest.approx(best)
    assert best_thresholds(targets, probabilities, "half").tolist() == [0.5] * 4
