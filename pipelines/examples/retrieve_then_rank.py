"""Retrieve, then rank: towers choose candidates, a CTR model with several labels orders them for the user's device."""

import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate

COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "labels": ["click", "like", "buy"]}


def main() -> pl.DataFrame:
    """Train both on a simulated log; returns three users' lists by the probability of a purchase."""
    log = simulate(SimulateConfig(users=300, items=200, max_events=100))
    dataset = rb.prepare(log.clicks, split={"kind": "time"})
    towers = rb.train_retrieval(dataset, size="tiny", train={"epochs": 2})
    features, part = {"categorical": ["device"]}, {"head": "din", "multi_task": "mmoe"}
    model = rb.train_ctr(
        log.impressions, dataset=dataset, columns=COLUMNS, features=features, model=part, train={"epochs": 2}
    )

    users = pl.DataFrame({"user_id": [1, 2, 3], "device": ["phone", "phone", "desktop"]})
    candidates = towers.recommend(users=users["user_id"], k=50)
    ranked = model.rank(users, candidates, k=5, by="buy")
    print(ranked.head(5))
    return ranked


if __name__ == "__main__":
    main()
