"""A cold item's life without retraining: put in by its words, recommended, found by words, removed; seconds of each."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Measure the seconds of a block."""
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def main() -> dict[str, float]:
    """Train towers on ids alone, then let an item of tomorrow come and go; returns the seconds of each step."""
    log = simulate(SimulateConfig(users=400, items=200, max_events=80))
    words = {"text": ["category_path", "tags"]}
    dataset = rb.prepare(log.clicks, items=log.items, item_features=words)
    model = rb.train_retrieval(dataset, size="tiny", train={"epochs": 3})
    model.with_item_vectors(rb.item_vectors(dataset))

    liked = dataset.items.sort("count", descending=True).row(0, named=True)
    item = int(log.items["item_id"].max()) + 1  # type: ignore[arg-type]  # ids of the log are integers
    new = pl.DataFrame({"item_id": [item], "category_path": [liked["category_path"]], "tags": [liked["tags"]]})
    seconds: dict[str, float] = {}
    with timed(seconds, "put in"):
        model.put_items(new)
    with timed(seconds, "recommended to everybody"):
        lists = model.recommend(k=20)
    n_lists = lists.filter(item_id=item).height
    query = liked["category_path"].replace("/", " ")
    with timed(seconds, "found by words"):
        by_words = model.similar(text=query, k=20)
    with timed(seconds, "removed"):
        model.remove_items([item])
    assert item not in model.recommend(k=20)["item_id"]

    print(f"item {item} came into {n_lists} of {lists['user_id'].n_unique()} lists; it is")
    print(f"{'among' if item in by_words['item_id'] else 'not among'} the first 20 for {query!r}, and then gone again.")
    print("; ".join(f"{name}: {value:.3f} s" for name, value in seconds.items()))
    return seconds


if __name__ == "__main__":
    main()
