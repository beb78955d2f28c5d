"""Index types on item vectors: build time, recall against exact search, speed, memory; and under a deny list.

    python -m pipelines.benchmarks.faiss_indexes --out runs/faiss_1m
    python -m pipelines.benchmarks.faiss_indexes --out runs/denied --items 100000 --vectors random --deny 0.5 --k 10

Simulated item vectors are drawn by ``recsys_bert.clicks.simulation.simulate.simulated_vectors``: unit length, in
clusters; random ones have no structure, which is hardest for approximate search. Under a deny list recall is against
the exact search among what is left, and what is denied, or missing from a list, is counted.
A query is an item's vector with noise, like the user vector of a trained model. Recall@k is the share of the exact k
best that an index returns. Memory is the size of the serialised index. Queries a second: one batch, all threads.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

    vectors: Literal["simulated", "random"] = "simulated"
    """In clusters, or uniform on the sphere."""

    deny: tuple[float, ...] = ()
    """Shares of the items that a random deny list holds, each in (0, 1); a table of its own."""

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
        if not all(0 < share < 1 for share in self.deny):
            raise InputError(f"deny is {list(self.deny)}; shares lie in (0, 1).")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: An index type that FAISS does not know, or that these vectors cannot train.
    """
    import numpy as np

    from pipelines.benchmarks.tables import write_tables
    from recsys_bert.retrieval.faiss_parts import make
    from recsys_bert.retrieval.index import ItemIndex
    from recsys_bert.retrieval.index_config import IndexConfig

    for factory in config.factories:
        make(
            IndexConfig(factory=factory, metric=_metric(factory)), config.dim
        )  # a wrong name fails before an hour's work
    items = _items(config)
    queries = _queries(items, config)
    rows = np.arange(config.items, dtype=np.int32)
    flat = ItemIndex.build(items, rows)
    exact = flat.search(queries, config.k)[0]
    allowed = [np.random.default_rng(config.seed + 2).random(config.items) >= share for share in config.deny]
    left = [flat.search(queries, config.k, None, mask)[0] for mask in allowed]
    lines, denied = [], []
    for factory in config.factories:
        start = time.perf_counter()
        index = ItemIndex.build(items, rows, factory, _metric(factory), seed=config.seed)
        line = {"factory": factory, "build_seconds": time.perf_counter() - start}
        line |= _measure(index, queries, exact) | {"bytes": index.memory}
        print(_row(line), file=sys.stderr, flush=True)
        lines.append(line)
        for share, mask, best in zip(config.deny, allowed, left, strict=True):
            denied.append({"factory": factory, "deny": share} | _measure(index, queries, best, mask))
            print(_denied_row(denied[-1]), file=sys.stderr, flush=True)
    result = {"config": _plain(config), "machine": {"cores": os.cpu_count()}, "indexes": lines, "denied": denied}
    table = _table(config, lines) + (_denied_table(config, denied) if denied else "")
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


def _items(config: Config) -> "np.ndarray":
    """Item vectors of length 1, ``[items, dim]``."""
    import numpy as np

    from recsys_bert.clicks.simulation.simulate import simulated_vectors

    if config.vectors == "simulated":
        return simulated_vectors(config.items, config.dim, config.seed)
    vectors = np.random.default_rng(config.seed).standard_normal((config.items, config.dim), dtype=np.float32)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _measure(
    index: "ItemIndex", queries: "np.ndarray", exact: "np.ndarray", allowed: "np.ndarray | None" = None
) -> dict[str, float]:
    """Recall@k and queries a second; with a deny list also what came in spite of it, and lists that are short."""
    import numpy as np

    k = exact.shape[1]
    index.search(queries[:32], k, None, allowed)
    start = time.perf_counter()
    rows = index.search(queries, k, None, allowed)[0]
    seconds = time.perf_counter() - start
    merged = np.sort(np.concatenate([rows, exact], axis=1), axis=1)  # a row of both is there twice, side by side
    measured: dict[str, float] = {
        "recall": float((np.diff(merged, axis=1) == 0).sum() / exact.size),
        "queries_per_second": len(queries) / seconds,
    }
    if allowed is not None:
        measured |= {
            "denied_listed": int((~allowed[rows[rows >= 0]]).sum()),
            "short_lists": int((rows < 0).any(1).sum()),
        }
    return measured


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
        f"{config.items:,} {config.vectors} item vectors of dim {config.dim}, {config.queries:,} queries, "
        f"inner product of unit-length vectors, {os.cpu_count()} CPU cores.\n\n"
    )
    head = f"| index | build s | recall@{config.k} against exact | queries a second | MiB |\n|---|---|---|---|---|\n"
    return about + head + "\n".join(map(_row, lines)) + "\n"


def _denied_row(line: dict[str, Any]) -> str:
    return (
        f"| `{line['factory']}` | {line['deny']:.0%} | {line['denied_listed']} | {line['short_lists']} | "
        f"{line['recall']:.4f} | {line['queries_per_second']:,.0f} |"
    )


def _denied_table(config: Config, lines: list[dict[str, Any]]) -> str:
    head = (
        f"\nUnder a random deny list, lists of {config.k}:\n\n"
        "| index | denied | denied items listed | short lists | recall among what is left | queries a second |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(map(_denied_row, lines)) + "\n"


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.faiss_indexes"))
