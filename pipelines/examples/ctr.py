"""Click-through rate: train on impressions with the user's history, then score new ones."""

import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate


def main() -> pl.DataFrame:
    """Train DIN on simulated impressions; returns the last hundred with their probabilities."""
    log = simulate(SimulateConfig(users=300, items=200, max_events=100))
    dataset = rb.prepare(log.clicks, split={"kind": "time"})
    columns = {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "click"}
    model = rb.train_ctr(log.impressions, dataset=dataset, columns=columns, model={"head": "din"}, train={"epochs": 2})
    predictions = model.predict(log.impressions.tail(100))
    print(predictions.tail(3))
    return predictions


if __name__ == "__main__":
    main()
