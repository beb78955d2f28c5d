import numpy as np
import pytest
from sklearn import metrics

from recsys_bert.evaluation.text import pair_metrics, search_metrics


def test_answers_by_a_threshold():
    random = np.random.default_rng(0)
    labels, scores = random.integers(0, 2, 100), random.random(100)
    values, predicted = pair_metrics(labels, scores, 0.4), scores >= 0.4
    assert values == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels, predicted),
            "f1": metrics.f1_score(labels, predicted),
            "precision": metrics.precision_score(labels, predicted),
            "recall": metrics.recall_score(labels, predicted),
            "auc": metrics.roc_auc_score(labels, scores),
            "examples": 100,
        }
    )
    assert pair_metrics(labels, scores, None).keys() == {"auc", "examples"}
    assert pair_metrics(np.ones(2, int), np.array([0.1, 0.2]), 0.5) == {
        "accuracy": 0.0,
        "f1": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "examples": 2,
    }


def test_finding_by_hand():
    texts = np.eye(4, dtype=np.float32)[[0, 1, 2, 1]]  # numbers 10, 11, 12 and 11 again
    numbers = np.array([10, 11, 12, 11])
    questions = np.array([[9, 1, 0, 0], [3, 1, 2, 0], [0, 1, 1, 0]], np.float32)
    ids = np.array([[50, 10], [51, 11], [52, 12]])  # ranks 1, 3, and 1.5 of two equal ones
    values = search_metrics(questions, ids, texts, numbers)
    assert values == pytest.approx({"hit@1": 1 / 3, "hit@10": 1.0, "mrr": (1 + 1 / 3 + 1 / 1.5) / 3})
    itself = np.array([[50, 10], [10, 11], [52, 12]])  # the text that beat 11 is the question itself
    assert search_metrics(questions, itself, texts, numbers)["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 1.5) / 3)
    assert search_metrics(questions[:0], ids[:0], texts, numbers) == {}


def test_finding_in_parts(monkeypatch):
    random = np.random.default_rng(1)
    texts, questions = random.normal(size=(50, 4)), random.normal(size=(50, 4))
    ids = np.stack([np.arange(100, 150), np.arange(50)], axis=1)
    whole = search_metrics(questions, ids, texts, np.arange(50))
    monkeypatch.setattr("recsys_bert.evaluation.text._QUERIES", 7)
    assert search_metrics(questions, ids, texts, np.arange(50)) == pytest.approx(whole)
    scores = questions @ texts.T
    rank = (scores > np.diag(scores)[:, None]).sum(axis=1) + 1
    assert whole["mrr"] == pytest.approx((1 / rank).mean())
