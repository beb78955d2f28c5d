"""Index the item vectors of a run, of any FAISS type."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from recsys_bert.retrieval.index_config import IndexConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """Build a FAISS index of a run's item vectors, for `recommend` and `similar`."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    out: Path
    """Index folder to write; an earlier one there is replaced."""

    index: tyro.conf.OmitArgPrefixes[IndexConfig] = field(default_factory=IndexConfig)
    """Its type and settings."""

    json: bool = False
    """Print sizes and time as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Build and save.

    Returns:
        Items, width, bytes and seconds.

    Raises:
        InputError: A factory string or setting that does not fit, too few items to train on, or a run and a log that
            do not belong together.
    """
    from recsys_bert.locks import only_writer

    with only_writer(config.out):
        summary = _index(config)
    if config.json:
        print(json.dumps(summary))
    return summary


def _index(config: Config) -> dict[str, Any]:
    from pipelines.support.item_lists import check_replaceable
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.ranker_index import index_items, index_source

    check_replaceable(config.out)
    dataset = open_dataset(config.data)
    ranker = open_run(config.run, dataset)
    vectors, source, start = ranker.item_vectors(), index_source(config.run, dataset), time.perf_counter()
    index = index_items(vectors, ranker.first_item, config.index, source)
    seconds = time.perf_counter() - start
    index.save(config.out)
    summary = {"items": len(index), "dim": index.dim, "bytes": index.memory, "build_seconds": seconds}
    print(
        f"{config.index.factory} by {config.index.metric} over {len(index):,} items of dim {index.dim}: "
        f"{index.memory / 2**20:,.1f} MiB, built in {seconds:.1f} s, in {config.out}",
        file=sys.stderr,
    )
    return summary
