import json

import numpy as np
import pytest

from recsys_bert.evaluation.evaluator import Evaluator, list_recall
from recsys_bert.evaluation.ranking import METRICS, per_user


@pytest.fixture
def evaluator(lists, rng):
    """Rows 3..49 warm, 50..62 cold; query 7 wants nothing but one UNKNOWN row."""
    _, (query, rows) = lists
    query, rows = query[query != 7], rows[query != 7]
    return Evaluator(
        events=(np.append(query, 7), np.append(rows, 2)),
        n_queries=40,
        history_lengths=rng.integers(1, 50, size=40),
        counts=np.concatenate([np.zeros(3, int), rng.integers(1, 90, size=47), np.zeros(13, int)]),
        first_item=3,
        n_warm_rows=50,
        ks=(5, 10),
        headline_k=10,
        samples=200,
    )


def test_results_of_a_model_are_json_and_hold_every_part(evaluator, lists):
    metrics, values = evaluator.evaluate(lists[0])
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert set(metrics) == {"metrics", "warm", "curve", "beyond", "by_history", "by_popularity", "by_training_events"}
    assert set(metrics["metrics"]) == {f"{name}@{k}" for name in METRICS for k in (5, 10)}
    interval = metrics["metrics"]["ndcg@10"]
    assert interval["value"] == pytest.approx(values["ndcg@10"].mean())
    assert interval["low"] < interval["value"] < interval["high"]


def test_both_denominators(evaluator, lists):
    metrics, _ = evaluator.evaluate(lists[0])
    query, rows = evaluator.events
    warm = (rows >= 3) & (rows < 50)
    expected = per_user(lists[0], (query[warm], rows[warm]), 40, (10,))["recall@10"]
    assert metrics["warm"]["recall@10"]["value"] == pytest.approx(np.nanmean(expected))
    assert metrics["warm"]["recall@10"]["n"] == np.unique(query[warm]).size == 39
    assert metrics["metrics"]["recall@10"]["n"] == 40


def test_groups_cover_every_target_and_user(evaluator, lists):
    metrics, _ = evaluator.evaluate(lists[0])
    assert sum(line["targets"] for line in metrics["by_popularity"]) == len(evaluator.targets[0])
    assert sum(line["users"] for line in metrics["by_history"]) == 40
    assert [line["group"] for line in metrics["by_popularity"]][-2:] == [
        "cold: features only",
        "unknown: cannot be recommended",
    ]


def test_lists_shorter_than_the_largest_k_have_no_figure_there(evaluator, lists):
    evaluator.__dict__["ks"] = (5, 10, 20)
    metrics, _ = evaluator.evaluate(lists[0])
    assert "recall@20" not in metrics["metrics"]
    assert "recall@10" in metrics["metrics"]


def test_comparisons_are_corrected_together(evaluator, lists):
    worse = lists[0].copy()
    worse[:20] = -1
    values = {"a": evaluator.evaluate(lists[0])[1], "b": evaluator.evaluate(worse)[1]}
    lines = evaluator.compare(values, [("a", "b"), ("a", "a")])
    assert [line["metric"] for line in lines] == ["ndcg@10", "recall@10"] * 2
    assert lines[0]["difference"] > 0
    assert lines[0]["worse"] == 0
    assert lines[0]["p_value"] < 0.01
    assert lines[0]["p_corrected"] >= 3 * lines[0]["p_value"]
    assert (lines[2]["difference"], lines[2]["p_corrected"]) == (0.0, 1.0)


def test_list_recall_by_hand():
    exact = np.array([[4, 5, 6], [7, 8, -1], [-1, -1, -1]])
    metrics = np.array([[6, 9, 4], [8, -1, -1], [4, 5, 6]])
    assert list_recall(metrics, exact) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert list_recall(exact, exact) == 1.0
