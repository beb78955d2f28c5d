"""Index types on simulated item vectors: build time, recall against exact search, speed, memory.

    python -m pipelines.benchmarks.faiss_indexes --out runs/faiss_1m

Item vectors are drawn by ``recsys_bert.clicks.simulation.simulate.simulated_vectors``: unit length, in clusters.
A query is an item's vector with noise, like the user vector of a trained model. Recall@k is the share of the exact k
best that an index returns. Memory is the size of the serialised index. Queries a second: one batch, all threads.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from recsys_bert.retrieval.index import ItemIndex


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure FAISS index types on simulated item vectors."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    items: int = 1_000_000
    """Item vectors."""

    dim: int = 64
    """Their width."""

    queries: int = 2_000
    """Query vectors."""

    noise: float = 0.4
    """Length of what is added to an item's vector to make a query, as a share of the vector's."""

    k: int = 100
    """Length of the lists."""

    factories: tuple[str, ...] = (
        "Flat",
        "HNSW16",
        "HNSW32",
        "IVF1024,Flat",
        "IVF1024,PQ16",
        "IVF1024,PQ16,RFlat",
        "PQ16",
        "SQ8",
        "LSH256r",
        "LSH256r,RFlat",
    )
    """FAISS factory strings; each with this project's default search effort."""

    seed: int = 0
    """Of the vectors and of training samples."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.items or self.queries < 1:
            raise InputError(f"k is {self.k} and queries {self.queries}; k goes up to items = {self.items:,}.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: An index type that FAISS does not know, or that these vectors cannot train.
    """
    import numpy as np

    from pipelines.benchmarks.tables import write_tables
    from recsys_bert.clicks.simulation.simulate import simulated_vectors
    from recsys_bert.retrieval.faiss_parts import make
    from recsys_bert.retrieval.index import ItemIndex
    from recsys_bert.retrieval.index_config import IndexConfig

    for factory in config.factories:
        make(
            IndexConfig(factory=factory, metric=_metric(factory)), config.dim
        )  # a wrong name fails before an hour's work
    items = simulated_vectors(config.items, config.dim, config.seed)
    queries = _queries(items, config)
    rows = np.arange(config.items, dtype=np.int32)
    exact = ItemIndex.build(items, rows).search(queries, config.k)[0]
    lines = []
    for factory in config.factories:
        start = time.perf_counter()
        index = ItemIndex.build(items, rows, factory, _metric(factory), seed=config.seed)
        line = {"factory": factory, "build_seconds": time.perf_counter() - start}
        line |= _measure(index, queries, exact) | {"bytes": index.memory}
        print(_row(line), file=sys.stderr, flush=True)
        lines.append(line)
    result = {"config": _plain(config), "machine": {"cores": os.cpu_count()}, "indexes": lines}
    table = _table(config, lines)
    write_tables(config.out, table, result)
    return result


def _metric(factory: str) -> Any:
    return "cosine" if "LSH" in factory else "ip"  # the same order: the vectors have length 1


def _queries(items: "np.ndarray", config: Config) -> "np.ndarray":
    """Draw items and move them by noise, ``[queries, dim]``."""
    import numpy as np

    rng = np.random.default_rng(config.seed + 1)
    near = items[rng.integers(0, len(items), config.queries)]
    noise = rng.standard_normal(near.shape, dtype=np.float32) * (config.noise / config.dim**0.5)
    return (near + noise).astype(np.float32)


def _measure(index: "ItemIndex", queries: "np.ndarray", exact: "np.ndarray") -> dict[str, float]:
    """Recall@k and queries a second."""
    import numpy as np

    k = exact.shape[1]
    index.search(queries[:32], k)
    start = time.perf_counter()
    rows = index.search(queries, k)[0]
    seconds = time.perf_counter() - start
    merged = np.sort(np.concatenate([rows, exact], axis=1), axis=1)  # a row of both is there twice, side by side
    return {
        "recall": float((np.diff(merged, axis=1) == 0).sum() / exact.size),
        "queries_per_second": len(queries) / seconds,
    }


def _plain(config: Config) -> dict[str, Any]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(config).items() if name != "out"}


def _row(line: dict[str, Any]) -> str:
    return (
        f"| `{line['factory']}` | {line['build_seconds']:.1f} | {line['recall']:.4f} | "
        f"{line['queries_per_second']:,.0f} | {line['bytes'] / 2**20:,.0f} |"
    )


def _table(config: Config, lines: list[dict[str, Any]]) -> str:
    about = (
        f"{config.items:,} simulated item vectors of dim {config.dim}, {config.queries:,} queries, "
        f"inner product of unit-length vectors, {os.cpu_count()} CPU cores.\n\n"
    )
    head = f"| index | build s | recall@{config.k} against exact | queries a second | MiB |\n|---|---|---|---|---|\n"
    return about + head + "\n".join(map(_row, lines)) + "\n"


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.faiss_indexes"))
