"""Seconds of a cold item's life, by the size of the catalogue: put in by text, recommended, found by words, removed.

An encoder with random weights of dim 64 (training does not change these times), texts of ten words, TF-IDF vectors of
the default width. Each time is the median of several calls after a first one, which computes what is held from then on.

    python -m pipelines.benchmarks.cold_life --items 12000 100000 --out runs/cold-life
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tyro

from recsys_bert.files import write_json

_WORDS = 5_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """Seconds of a cold item's life."""

    items: tuple[int, ...] = (12_000, 100_000)
    """Sizes of the catalogue."""

    factories: tuple[str, ...] = ("Flat", "HNSW32")
    """Index types."""

    repeats: int = 5
    """Calls that are timed."""

    out: Path | None = None
    """Folder for ``cold_life.json``; None prints alone."""


def run(config: Config) -> list[dict[str, Any]]:
    """Measure; one dict a size and index type."""
    lines = []
    for n_items in config.items:
        with tempfile.TemporaryDirectory() as folder:
            lines += measure(n_items, config.factories, config.repeats, Path(folder))
    for line in lines:
        print(
            "  ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{value}" for name, value in line.items())
        )
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        write_json(config.out / "cold_life.json", lines)
    return lines


def measure(n_items: int, factories: tuple[str, ...], repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Times over a catalogue of ``n_items``, one dict an index type."""
    import recsys_bert as rb
    from recsys_bert.retrieval.index import ItemIndex
    from recsys_bert.retrieval.recommender import Recommender

    dataset, texts = _log(n_items)
    start = time.perf_counter()
    vectors = rb.item_vectors(dataset)
    seconds = time.perf_counter() - start
    _random_run(folder / "run", dataset)
    lines = []
    for factory in factories:
        model = Recommender.load(folder / "run", dataset).with_item_vectors(vectors)
        learned, first = model.ranker.item_vectors(), model.ranker.first_item
        model.index = ItemIndex.build(learned[first:], np.arange(first, len(learned)), factory)
        times = _life(model, texts, repeats)
        lines.append({"items": n_items, "index": factory, "text vectors of all": seconds, **times})
    return lines


def _life(model: Any, texts: list[str], repeats: int) -> dict[str, float]:
    """Seconds of each step of a life."""
    user, numbers, gone = model.dataset.user_ids[:1].to_list(), itertools.count(), itertools.count()

    def put(n: int) -> None:
        ids = [f"new-{next(numbers)}" for _ in range(n)]
        model.put_items(pl.DataFrame({"item_id": ids, "text": texts[:n]}))

    steps: dict[str, Callable[[], Any]] = {
        "put in 1": lambda: put(1),
        "put in 100": lambda: put(100),
        "recommended to 1 user": lambda: model.recommend(user, k=10),
        "found by words": lambda: model.similar(text=texts[0], k=10),
        "query and user": lambda: model.recommend(user, query=texts[0], k=10),
        "removed": lambda: model.remove_items([f"new-{next(gone)}"]),
    }
    times = {name: _median(call, repeats) for name, call in steps.items()}
    start = time.perf_counter()
    model.rebuild_index()
    return times | {"index built again": time.perf_counter() - start}


def _median(call: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def _log(n_items: int) -> tuple[Any, list[str]]:
    """A log in which every item has three events, and the items' texts."""
    import recsys_bert as rb

    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(_WORDS)])
    chosen_words = words[np.minimum(random.zipf(1.3, size=(n_items, 10)) - 1, _WORDS - 1)]
    texts = [" ".join(line) for line in chosen_words]
    items = random.permutation(np.repeat(np.arange(n_items), 3))
    events = pl.DataFrame(
        {"user_id": np.arange(len(items)) // 10, "item_id": items, "timestamp": np.arange(len(items))}
    ).with_columns(pl.format("i{}", "item_id").alias("item_id"))
    table = pl.DataFrame({"item_id": [f"i{n}" for n in range(n_items)], "text": texts})
    return rb.prepare(events, items=table, item_features={"text": ["text"]}), texts


def _random_run(folder: Path, dataset: Any) -> None:
    """An encoder with random weights, as ``pretrain`` writes one."""
    import torch

    from recsys_bert.encoder.config import EncoderConfig
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.losses.config import LossConfig
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, save_encoder

    torch.manual_seed(0)
    config = EncoderConfig(vocab_size=dataset.vocabulary.size, dim=64, n_layers=1, max_len=50, attention="causal")
    prediction = TokenPrediction(Encoder(config), LossConfig(), first_row=dataset.vocabulary.first_item)
    (folder / "encoder").mkdir(parents=True)
    save_encoder(folder / "encoder", PretrainedEncoder(prediction, "next_item"), dataset)


if __name__ == "__main__":
    sys.exit(0 if run(tyro.cli(Config)) else 1)
