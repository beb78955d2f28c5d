"""Indexes over a ranker's item vectors, and which run and log they belong to."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.retrieval.load import ranker_fingerprint


def index_items(
    vectors: NDArray[np.float32], first_item: int, config: IndexConfig, source: dict[str, str] | None = None
) -> ItemIndex:
    """Index all items of a ranker, ``item_vectors()`` from ``first_item`` on.

    Raises:
        InputError: See ``ItemIndex.build``.
    """
    rows = np.arange(first_item, len(vectors))
    return ItemIndex.build(vectors[first_item:], rows, **asdict(config), source=source)


def index_source(run: Path, dataset: ClickDataset) -> dict[str, str]:
    """Origin of an index: run, log, and fingerprint of the weights."""
    return {"run": run.name, "data": dataset.fingerprint, "weights": ranker_fingerprint(run)}


def open_index(folder: Path, run: Path, dataset: ClickDataset) -> ItemIndex:
    """Load an index and check that it holds this run's vectors.

    One that was made before the log's vocabulary grew is searched as it is: it has the items of then.

    Raises:
        InputError: It cannot be read, or was made from another run or another prepared log.
    """
    index = ItemIndex.load(folder)
    if any(state.fingerprint == index.source.get("data") for state in dataset.states[:-1]):
        dataset = dataset.known_to(index.source["data"])
        what = f"{dataset.n_new_items:,} items of {dataset.folder} came, which it does not hold"
        if not dataset.n_new_items:
            what = f"numbers or vectors of {dataset.folder} changed, which it does not know"
        print(f"the index {folder} was made before {what}. Make it again with `recsys-bert index`.", file=sys.stderr)
    for name, value in index_source(run, dataset).items():
        if name != "run" and index.source.get(name, value) != value:
            raise InputError(
                f"the index {folder} was made from other {name} than those of {run} and {dataset.folder} (run "
                f"{index.source.get('run')!r}). Make it again with `recsys-bert index`."
            )
    return index
