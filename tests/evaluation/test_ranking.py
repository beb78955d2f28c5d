import math

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from recsys_bert.errors import InputError
from recsys_bert.evaluation.ranking import bootstrap, check_ks, per_user, ranks, relevant, summary, within


def by_hand(ranked, targets, k):
    """The metrics of one list, by the formula."""
    hits = [rank for rank, row in enumerate(ranked[:k]) if row in targets]
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(targets))))
    return {
        "recall": len(hits) / len(targets),
        "ndcg": sum(1 / math.log2(rank + 2) for rank in hits) / ideal,
        "hit": float(bool(hits)),
        "mrr": 1 / (hits[0] + 1) if hits else 0.0,
        "precision": len(hits) / k,
        "map": sum((number + 1) / (rank + 1) for number, rank in enumerate(hits)) / len(targets),
    }


def test_recall_divides_by_all_targets_and_counts_only_the_first_k():
    ranked = np.array([[7, 3, 9], [1, 2, 4]])
    values = per_user(ranked, (np.array([0, 0, 1]), np.array([3, 9, 5])), 2, ks=(2,))
    assert values["recall@2"].tolist() == [0.5, 0.0]
    assert values["mrr@2"].tolist() == [0.5, 0.0]


def test_every_measure_equals_a_plain_loop(lists):
    ranked, (query, rows) = lists
    values = per_user(ranked, (query, rows), 40, ks=(1, 5, 12))
    for k in (1, 5, 12):
        for user in range(40):
            for name, value in by_hand(ranked[user].tolist(), set(rows[query == user].tolist()), k).items():
                assert values[f"{name}@{k}"][user] == pytest.approx(value, abs=1e-12)


def test_every_measure_equals_ir_measures(lists):
    ranked, (query, rows) = lists
    qrels = [ir_measures.Qrel(str(q), str(row), 1) for q, row in zip(query, rows, strict=True)]
    run = [
        ir_measures.ScoredDoc(str(q), str(row), -float(rank))
        for q in range(40)
        for rank, row in enumerate(ranked[q])
        if row >= 0
    ]
    names = {R @ 5: "recall@5", nDCG @ 5: "ndcg@5", Success @ 5: "hit@5", RR @ 5: "mrr@5"}
    names |= {P @ 5: "precision@5", AP @ 5: "map@5"}
    values = per_user(ranked, (query, rows), 40, ks=(5,))
    seen = 0
    for one in ir_measures.iter_calc(list(names), qrels, run):
        assert values[names[one.measure]][int(one.query_id)] == pytest.approx(one.value, abs=1e-9)
        seen += 1
    assert seen >= 6 * 39


def test_graded_ndcg_equals_ir_measures(lists):
    """Gains are whole numbers here, as trec_eval's are; those of doubles add up."""
    ranked, (query, rows) = lists
    query, rows = np.concatenate([query, query[:30]]), np.concatenate([rows, rows[:30]])
    gains = np.random.default_rng(3).integers(1, 6, len(rows))
    summed = {}
    for q, row, gain in zip(query, rows, gains, strict=True):
        summed[q, row] = summed.get((q, row), 0) + int(gain)
    assert len(summed) < len(rows)
    qrels = [ir_measures.Qrel(str(q), str(row), gain) for (q, row), gain in summed.items()]
    run = [
        ir_measures.ScoredDoc(str(q), str(row), -float(rank))
        for q in range(40)
        for rank, row in enumerate(ranked[q])
        if row >= 0
    ]
    values = per_user(ranked, (query, rows), 40, ks=(3, 8), gains=gains.astype(np.float32))
    n = 0
    for k in (3, 8):
        for one in ir_measures.iter_calc([nDCG @ k], qrels, run):
            assert values[f"graded_ndcg@{k}"][int(one.query_id)] == pytest.approx(one.value, abs=1e-9)
            n += 1
    assert n >= 2 * 39
    equal = per_user(ranked, (query, rows), 40, ks=(8,), gains=np.full(len(rows), 2.0))
    once = per_user(ranked, lists[1], 40, ks=(8,), gains=np.ones(len(lists[1][0])))
    np.testing.assert_allclose(once["graded_ndcg@8"], once["ndcg@8"])  # equal gains: as without
    assert not np.allclose(equal["graded_ndcg@8"], once["ndcg@8"], equal_nan=True)  # doubles count twice


def test_a_target_met_twice_is_one_target():
    values = per_user(np.array([[4, 5]]), (np.array([0, 0, 0]), np.array([4, 4, 6])), 1, ks=(2,))
    assert values["recall@2"][0] == 0.5


def test_unknown_targets_are_missed_one_each_and_left_out_of_the_warm_figure():
    ranked = np.array([[4, 2, 5], [6, 4, 5]])  # a list that returns an UNKNOWN row gains nothing by it
    targets = (np.array([0, 0, 0, 1]), np.array([2, 2, 4, 2]))
    main = per_user(ranked, targets, 2, ks=(3,), first_item=3)
    assert main["recall@3"] == pytest.approx([1 / 3, 0.0])
    warm = per_user(ranked, within(targets, 3, 10), 2, ks=(3,), first_item=3)
    assert warm["recall@3"][0] == 1.0
    assert np.isnan(warm["recall@3"][1])
    assert summary(main, samples=0)["recall@3"].value == pytest.approx(1 / 6)
    assert (summary(warm)["recall@3"].value, summary(warm)["recall@3"].n) == (1.0, 1)


def test_missing_entries_never_match():
    values = per_user(np.full((1, 3), -1), (np.array([0]), np.array([-1])), 1, ks=(3,))
    assert values["hit@3"][0] == 0.0


def test_ranks_in_chunks_equal_ranks_at_once(lists, monkeypatch):
    ranked, targets = lists
    whole = ranks(ranked, targets)
    monkeypatch.setattr("recsys_bert.evaluation.ranking._CHUNK", 30)
    assert (ranks(ranked, targets) == whole).all()
    assert (whole == 12).any()
    assert (whole < 12).any()


def test_relevant_sorts_and_merges(rng):
    query, row = relevant((np.array([1, 0, 1, 1]), np.array([9, 3, 9, 2])), first_item=3)
    assert list(zip(query.tolist(), row.tolist(), strict=True)) == [(0, 3), (1, 2), (1, 9)]


def test_bootstrap_width_is_that_of_the_normal_law(rng):
    values = rng.normal(2.0, 1.0, size=(4000, 2))
    values[:, 1] *= 3.0
    low, high = bootstrap(values, samples=2000, seed=1)
    expected = 2 * 1.96 * values.std(axis=0) / np.sqrt(len(values))
    assert high - low == pytest.approx(expected, rel=0.08)
    assert (low < values.mean(axis=0)).all()
    assert (values.mean(axis=0) < high).all()


def test_bootstrap_chunks_and_seeds(rng, monkeypatch):
    values = rng.random((50, 1))
    values[:10] = np.nan
    first = bootstrap(values, samples=100, seed=3)
    assert np.array_equal(first, bootstrap(values, samples=100, seed=3))
    assert not np.array_equal(first, bootstrap(values, samples=100, seed=4))
    monkeypatch.setattr("recsys_bert.evaluation.ranking._CHUNK", 500)
    assert np.array_equal(first, bootstrap(values, samples=100, seed=3))


def test_a_column_without_any_value_is_nan():
    summed = summary({"recall@1": np.full(4, np.nan), "hit@1": np.ones(4)})
    assert np.isnan(summed["recall@1"].value)
    assert np.isnan(summed["recall@1"].low)
    assert summed["recall@1"].n == 0
    assert summed["hit@1"].value == summed["hit@1"].low == summed["hit@1"].high == 1.0


@pytest.mark.parametrize(
    ("ks", "n_items", "says"),
    [((5, 20), 10, "k = 20 is larger than the catalogue of 10 items"), ((0,), 10, "≥ 1"), ((), 10, "≥ 1")],
)
def test_impossible_ks_are_refused(ks, n_items, says):
    with pytest.raises(InputError, match=says):
        check_ks(ks, n_items)


def test_lists_that_do_not_fit_are_refused():
    one = (np.array([0]), np.array([4]))
    with pytest.raises(InputError, match=r"expected \[3, K\]"):
        per_user(np.array([[4, 5]]), one, 3, ks=(1,))
    with pytest.raises(InputError, match="k = 3"):
        per_user(np.array([[4, 5]]), one, 1, ks=(3,))
    with pytest.raises(InputError, match="there are 1 lists"):
        per_user(np.array([[4, 5]]), (np.array([1]), np.array([4])), 1, ks=(1,))
