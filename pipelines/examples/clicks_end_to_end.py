"""Clicks end to end: a data frame → a prepared log → two towers → lists, similar items, a report."""

import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate


def main() -> pl.DataFrame:
    """Run it on a small simulated log; returns the table of the report."""
    clicks = simulate(
        SimulateConfig(users=200, items=200, max_events=100)
    ).clicks  # pandas, pyarrow … frames will do as well
    dataset = rb.prepare(clicks.select("user_id", "item_id", "timestamp"))
    model = rb.train_retrieval(dataset, encoder={"dim": 16, "max_len": 20}, train={"epochs": 3})
    print(model.recommend(users=[1, 2, 3], k=3))
    print(model.recommend(histories=[[12, 7, 31]], k=3))
    print(model.similar([12], k=3))
    evaluation = rb.evaluate(model, dataset, baselines=("popular", "markov"))
    print(evaluation.table)
    return evaluation.table


if __name__ == "__main__":
    main()
