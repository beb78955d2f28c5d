"""Timed full ranking of all test users: the process that ``evaluation_speed`` starts for each run.

    python -m pipelines.benchmarks.evaluation_round --data runs/data/ml-1m --export /tmp/log.npz

Prints one JSON line, and writes the ranked histories, for another program.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import pretrain
from pipelines.support.flags import load_config
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.files import replacing

if TYPE_CHECKING:
    from recsys_bert.clicks.queries import Queries


@dataclass(frozen=True, kw_only=True)
class Config:
    """Rank all test users once."""

    data: Path
    """Folder that `prepare` wrote."""

    export: Path
    """File (.npz) for the histories that were ranked: users and items, oldest first."""

    dim: int = 64
    """Width of the encoder."""

    n_layers: int = 2
    """Layers, of one head."""

    max_len: int = 200
    """Longest input, in positions."""

    k: int = 10
    """Length of the lists."""


def run(config: Config) -> dict[str, Any]:
    """Rank, print, and write ``export`` unless it is there.

    Returns:
        ``users_per_s``, ``users``, ``items``, ``threads``.
    """
    import torch

    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.stages.pretrain import build

    dataset = open_dataset(config.data)
    recipe = pretrain.Config(
        data=config.data,
        out=config.export,
        objective="next_item",
        encoder=EncoderConfig(
            dim=config.dim,
            n_layers=config.n_layers,
            n_heads=1,
            max_len=config.max_len,
            layer_options={"ffn_dim": config.dim, "activation": "relu"},  # as SASRec has them
        ),
    )
    pretrained = build(recipe, dataset).pretrained
    pretrained.prediction.eval()
    ranker = EncoderRanker(pretrained)
    queries = Queries.of(dataset, "test")
    ranker.rank(queries[:256], config.k)
    start = time.perf_counter()
    ranker.rank(queries, config.k)
    seconds = time.perf_counter() - start
    if not config.export.exists():
        _export(config.export, queries)
    result = {
        "users_per_s": len(queries) / seconds,
        "users": len(queries),
        "items": dataset.vocabulary.n_items,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))
    return result


def _export(path: Path, queries: "Queries") -> None:
    """Write the histories before each target as columns ``users`` and ``items``."""
    import numpy as np

    lengths = queries.stop - queries.start
    positions = np.repeat(queries.start - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    columns = {"users": np.repeat(queries.users, lengths), "items": np.asarray(queries.histories.items)[positions]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **columns)


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.evaluation_round"))
