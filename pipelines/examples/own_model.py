"""Your own model against ours: it only has to give vectors, or lists."""

import numpy as np
import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate
from recsys_bert.clicks.training_events import TrainingEvents


def factors(dataset: "rb.ClickDataset", dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Truncated SVD of the users' training items: ``[users, dim]`` and ``[items, dim]``."""
    from scipy.sparse.linalg import svds

    n_items, first = dataset.vocabulary.size, dataset.vocabulary.first_item
    counts = TrainingEvents.of(dataset.histories).by_user(n_items, dataset.histories.n_users)[:, first:]
    users, scale, items = svds(counts.astype(np.float64), k=dim, random_state=np.random.default_rng(0))
    return (users * scale).astype(np.float32), items.T.astype(np.float32)


def most_clicked(dataset: "rb.ClickDataset", clicks: pl.DataFrame) -> pl.DataFrame:
    """The same fifty items for everybody, as a frame of lists."""
    items = clicks["item_id"].value_counts(sort=True).head(50).select("item_id").with_row_index("rank", offset=1)
    return dataset.users.select("user_id").join(items, how="cross")


def main() -> pl.DataFrame:
    """Compare vectors and lists of other origin with two towers; returns the table."""
    clicks = simulate(SimulateConfig(users=200, items=200, max_events=100)).clicks
    dataset = rb.prepare(clicks)
    towers = rb.train_retrieval(dataset, encoder={"dim": 16, "max_len": 20}, train={"epochs": 3})
    models = {"two towers": towers, "SVD": factors(dataset), "most clicked": most_clicked(dataset, clicks)}
    table = rb.evaluate(models, dataset, baselines=("popular",), indexes=()).table
    print(table)
    return table


if __name__ == "__main__":
    main()
