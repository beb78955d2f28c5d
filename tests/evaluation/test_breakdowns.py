import numpy as np
import pytest

from recsys_bert.evaluation.breakdowns import (
    EVENT_GROUPS,
    by_target_group,
    by_training_events,
    by_user_group,
    quantile_groups,
    recall_curve,
    target_groups,
)
from recsys_bert.evaluation.ranking import per_user, relevant


def test_quantile_groups_are_about_equal_and_named_by_their_range():
    group, names = quantile_groups(np.arange(1, 101), 4)
    assert names == ["1-25", "26-50", "51-75", "76-100"]
    assert np.bincount(group).tolist() == [25, 25, 25, 25]


def test_equal_values_share_a_group():
    group, names = quantile_groups(np.array([1, 1, 1, 1, 1, 1, 2, 9]), 4)
    assert names == ["1", "2-9"]
    assert group.tolist() == [0] * 6 + [1, 1]
    assert quantile_groups(np.full(5, 1200), 4)[1] == ["1,200"]
    assert quantile_groups(np.zeros(0, dtype=int))[1] == []


def test_groups_of_users_average_to_the_whole(rng):
    values = {"recall@5": rng.random(50)}
    group, names = quantile_groups(rng.integers(1, 30, size=50), 3)
    lines = by_user_group(values, group, names)
    assert sum(line["users"] for line in lines) == 50
    total = sum(line["users"] * line["recall@5"] for line in lines)
    assert total / 50 == pytest.approx(values["recall@5"].mean())


def test_a_group_whose_users_have_no_value_is_none():
    lines = by_user_group({"recall@5": np.array([np.nan, 0.5])}, np.array([0, 1]), ["a", "b"])
    assert [line["recall@5"] for line in lines] == [None, 0.5]


def test_targets_by_popularity_with_cold_and_unknown_apart():
    counts = np.array([0, 0, 0, 9, 5, 1, 0])  # rows 3..5 warm, row 6 cold, row 2 unknown
    targets = relevant((np.array([0, 0, 1, 1, 1]), np.array([3, 2, 5, 6, 4])), first_item=3)
    group, names = target_groups(counts, targets[1], first_item=3, n_warm_rows=6, n_groups=3)
    assert names == ["1", "5", "9", "cold: features only", "unknown: cannot be recommended"]
    lines = by_target_group(np.array([[3, 4], [6, 5]]), targets, group, names, k=1, first_item=3)
    assert [line["recall@1"] for line in lines] == [0.0, 0.0, 1.0, 1.0, 0.0]
    assert [line["targets"] for line in lines] == [1, 1, 1, 1, 1]


def test_the_curve_passes_through_recall_at_k(lists):
    ranked, targets = lists
    curve = recall_curve(ranked, targets)
    values = per_user(ranked, targets, 40, ks=(1, 5, 12))
    assert len(curve) == 12
    for k in (1, 5, 12):
        assert curve[k - 1] == pytest.approx(values[f"recall@{k}"].mean())


def in_group(events, name):
    low, _, high = name.removesuffix("+").partition("-")
    return int(low) <= events <= (10**9 if name.endswith("+") else int(high or low))


def test_training_events_of_the_target_against_plain_loops(lists, rng):
    ranked, targets = lists
    counts = rng.choice([0, 1, 2, 4, 5, 11, 19, 20, 300], size=63)
    counts[:3] = 50  # events that are no item's own
    query, row = relevant((np.append(targets[0], [0, 7]), np.append(targets[1], [2, 2])), first_item=3)
    lines = by_training_events(ranked, (query, row), counts, 10, 3)
    assert [line["group"] for line in lines] == list(EVENT_GROUPS)
    for line in lines:
        hits, gains, queries = [], [], set()
        for q, r in zip(query.tolist(), row.tolist(), strict=True):
            if in_group(0 if r < 3 else counts[r], line["group"]):
                top = ranked[q, :10].tolist()
                hits.append(r in top)
                gains.append(1 / np.log2(top.index(r) + 2) if r in top else 0.0)
                queries.add(q)
        assert (line["targets"], line["predictions"]) == (len(hits), len(queries))
        assert line["recall@10"] == pytest.approx(np.mean(hits))
        assert line["ndcg@10"] == pytest.approx(np.mean(gains))


def test_with_one_target_each_the_groups_average_to_the_usual_metrics(lists):
    ranked, counts = lists[0], np.repeat([0, 3, 7, 40], 16)
    targets = np.arange(40), np.arange(20, 60)
    lines = by_training_events(ranked, targets, counts, 10, 3)
    values = per_user(ranked, targets, 40, (10,), 3)
    for metric in ("recall@10", "ndcg@10"):
        total = sum(line["predictions"] * line[metric] for line in lines if line["targets"])
        assert total / 40 == pytest.approx(values[metric].mean())


def test_a_group_without_targets_has_no_metric():
    lines = by_training_events(np.array([[3, 4]]), (np.array([0]), np.array([3])), np.full(5, 4), 2, 3)
    assert [line["recall@2"] for line in lines] == [None, 1.0, None, None]
    assert [line["predictions"] for line in lines] == [0, 1, 0, 0]
