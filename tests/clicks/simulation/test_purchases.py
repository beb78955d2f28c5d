"""Purchases that depend on the item: their shares, their truth, and what weights and target types gain by them."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.purchases import purchase_probabilities
from recsys_bert.clicks.simulation.simulate import best_recall, simulate, write_simulation
from recsys_bert.errors import InputError
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.prepare import prepare

SMALL = {"users": 600, "items": 200, "max_events": 80, "mean_events": 30.0}


@pytest.fixture(scope="module")
def log():
    return simulate(SimulateConfig(**SMALL, purchase_spread=2.0))


def test_each_item_is_purchased_as_often_as_its_probability_says(log):
    probabilities = purchase_probabilities(log.world)
    assert probabilities.std() > 0.1
    counts = log.clicks.group_by("item_id").agg(pl.len(), bought=(pl.col("event") == "purchase").sum())
    p = probabilities[counts["item_id"].to_numpy() - 1]
    n, bought = counts["len"].to_numpy(), counts["bought"].to_numpy()
    z = (bought - n * p) / np.sqrt(n * p * (1 - p))
    assert np.abs(z).max() < 5
    assert 0.8 < z.std() < 1.2


def test_without_spread_purchases_are_as_they_were(log):
    plain = simulate(SimulateConfig(**SMALL))
    same = ["user_id", "item_id", "timestamp"]
    assert plain.clicks.select(same).equals(log.clicks.select(same))
    assert set(purchase_probabilities(plain.world)) == {0.08}
    assert plain.truth["event"].unique().to_list() == ["any"]
    with pytest.raises(InputError, match="purchase-spread"):
        SimulateConfig(purchase_spread=-1.0)


def test_the_truth_of_purchases_is_bayes_rule(log):
    """P(item | purchase) ∝ P(item) · P(purchase | item), from all clicks before the purchase."""
    part = log.truth.filter((pl.col("event") == "purchase") & (pl.col("split") == "test")).sort("user_id")
    clicks = log.clicks.sort("user_id", "timestamp")
    for row in part.sample(25, seed=0).iter_rows(named=True):
        events = clicks.filter(pl.col("user_id") == row["user_id"])
        last = int(np.flatnonzero(events["event"].to_numpy() == "purchase")[-1])
        assert events["item_id"][last] == row["item_id"]
        n_left_out = len(events) - last
        stated = log.next_item_probabilities([row["user_id"]], held_out=n_left_out)[0] * purchase_probabilities(
            log.world
        )
        stated /= stated.sum()
        np.testing.assert_allclose(row["probabilities"], -np.sort(-stated)[:50])
        np.testing.assert_allclose(stated[np.array(row["best_items"]) - 1], -np.sort(-stated)[:50])
    best = best_recall(log.truth, event="purchase")["recall@10"]
    assert abs(best["expected"] - best["drawn"]) < 4 * (0.25 / len(part)) ** 0.5


def test_the_best_possible_recommender_of_purchases_is_in_the_report(tmp_path):
    summary = write_simulation(SimulateConfig(**SMALL, purchase_spread=2.0), tmp_path / "log")
    split = {"target_types": ["purchase"]}
    data = prepare(tmp_path / "log" / "clicks.parquet", log={"event": "event"}, split=split)
    truth = tmp_path / "log" / "truth.parquet"
    settings = {"ks": [10], "samples": 0, "indexes": [], "truth": truth}
    results = evaluate([], data, baselines=["popular"], target_types=["purchase"], **settings).results
    best = next(model for model in results["models"] if model["kind"] == "best_possible")
    assert best["metrics"]["recall@10"]["value"] == pytest.approx(
        summary["best_purchases"]["test"]["recall@10"]["drawn"], abs=0.05
    )
    with pytest.raises(InputError, match="purchase-spread"):
        evaluate([], data, baselines=["popular"], **settings)
