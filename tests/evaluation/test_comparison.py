import numpy as np
import pytest
from scipy import stats

from recsys_bert.errors import InputError
from recsys_bert.evaluation.comparison import (
    FinishedRun,
    against_first,
    describe,
    first_epoch,
    mean_curve,
    spread,
    target_of,
)


def make_run(seed=0, examples=(1.0, 0.0), curve=((1, 0.2), (2, 0.5)), **changes):
    values = np.array(examples, np.float64)
    metrics = {"accuracy": float(np.nanmean(values))}
    rest = {"seconds": 10.0 + seed, "parameters": 7, "epochs": 2, "best_epoch": 2}
    return FinishedRun(seed=seed, metrics=metrics, examples=values, curve=list(curve), **{**rest, **changes})


def test_spread_is_mean_and_sample_deviation():
    assert spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "std": pytest.approx(7**0.5), "n": 3}
    assert spread([2.0]) == {"mean": 2.0, "std": None, "n": 1}
    assert spread([]) == {"mean": None, "std": None, "n": 0}


def test_curves_are_averaged_over_the_epochs_that_all_have():
    summary = mean_curve([[(2, 0.1), (4, 0.5), (6, 0.9)], [(2, 0.3), (4, 0.5)]])
    assert summary == [[2, pytest.approx(0.2), pytest.approx(0.02**0.5)], [4, 0.5, 0.0]]
    assert mean_curve([]) == mean_curve([[(1, 0.1)], []]) == []


def test_first_epoch_at_the_target():
    curve = [(2, 0.1), (4, 0.5), (6, 0.4), (8, 0.6)]
    assert [first_epoch(curve, target) for target in (0.1, 0.5, 0.55, 0.7)] == [2, 4, 8, None]
    runs = [make_run(curve=curve), make_run(curve=[(1, 0.8), (2, 0.7)])]
    assert target_of(runs, 0.5) == pytest.approx(0.35)
    assert target_of([make_run(curve=())], 0.5) is None


def test_a_configuration_by_itself():
    runs = [make_run(0, curve=[(1, 0.2), (2, 0.6)]), make_run(1, (1.0, 1.0), curve=[(1, 0.4), (2, 0.3)], best_epoch=1)]
    summary = describe(runs, 0.5)
    assert summary["metrics"]["accuracy"]["mean"] == 0.75
    assert summary["seconds"]["mean"] == 10.5
    assert summary["best"]["mean"] == pytest.approx(0.5)
    assert summary["best_epoch"]["mean"] == 1.5
    assert summary["epochs_to_target"] == [2, None]
    assert summary["parameters"] == 7
    assert describe([], 0.5)["metrics"] == {}


def test_examples_are_averaged_over_seeds_before_they_are_compared():
    random = np.random.default_rng(0)
    first = [make_run(seed, random.random(300) < 0.6) for seed in range(3)]
    better = [make_run(seed, random.random(300) < 0.75) for seed in range(3)]
    same = [make_run(5, first[0].examples)]
    lines = against_first({"first": first, "better": better, "same": same}, samples=4000)
    assert [(line["configuration"], line["against"]) for line in lines] == [("better", "first"), ("same", "first")]
    one = lines[0]
    means = [np.mean([run.examples for run in runs], axis=0) for runs in (better, first)]
    assert one["difference"] == pytest.approx((means[0] - means[1]).mean())
    assert one["p_value"] == pytest.approx(stats.ttest_rel(*means).pvalue, abs=0.005)
    assert one["low"] < one["difference"] < one["high"]
    assert one["p_corrected"] == pytest.approx(min(1.0, 2 * one["p_value"]))
    assert (one["seeds_better"], one["seeds_shared"]) == (3, 3)
    assert lines[1]["seeds_shared"] == 0


def test_examples_without_a_value_take_no_part():
    configurations = {"a": [make_run(0, [1, np.nan, 0, 0])], "b": [make_run(0, [1, 1, 1, np.nan])]}
    (line,) = against_first(configurations)
    assert (line["better"], line["worse"], line["tied"]) == (1, 0, 1)
    assert line["difference"] == 0.5


def test_a_configuration_that_failed_takes_no_part():
    assert [line["configuration"] for line in against_first({"a": [make_run()], "b": [], "c": [make_run()]})] == ["c"]
    assert against_first({"a": [], "b": [make_run()], "c": [make_run()]}) == []


def test_other_numbers_of_examples_cannot_be_paired():
    with pytest.raises(InputError, match=r"different numbers of examples: \[2, 3\]"):
        against_first({"a": [make_run()], "b": [make_run(0, (1, 1, 1))]})


def test_the_correction_of_a_comparison_is_chosen():
    random = np.random.default_rng(0)
    runs = {name: [make_run(0, tuple(random.random(12) + shift))] for name, shift in (("a", 0), ("b", 0.2), ("c", 0.1))}
    none, holm, bonferroni = (against_first(runs, 2000, correction=name) for name in ("none", "holm", "bonferroni"))
    raw = [line["p_value"] for line in none]
    assert [line["p_corrected"] for line in none] == raw
    assert [line["p_corrected"] for line in bonferroni] == [min(2 * p, 1) for p in raw]
    assert [line["p_corrected"] for line in holm] == [2 * min(raw), max(max(raw), 2 * min(raw))][
        :: 1 if raw[0] < raw[1] else -1
    ]
