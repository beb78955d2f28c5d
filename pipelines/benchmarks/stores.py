"""Stores on vectors of many items: queries a second, recall, recall under a filter, memory.

``python -m pipelines.benchmarks.stores --kinds faiss postgres milvus``; a server's address by ``--postgres URL`` and
``--milvus URL``. One client, one query at a time, everything on one machine; memory is what this process grew by, or
where ``--server-pid`` names it, the server with its children.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from recsys_bert.stores.opening import open_store
from recsys_bert.stores.vector_store import VectorStore

_BATCH = 2_000
_COLUMNS = {"category": "int", "price": "float"}


def vectors_of(n: int, dim: int, clusters: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around random centres."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(clusters, dim))[random.integers(0, clusters, n)] + 0.5 * random.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(store: VectorStore, vectors: NDArray[np.float32]) -> float:
    """Put all rows, of 20 categories in turn; seconds until the first search is answered."""
    start = time.perf_counter()
    for first in range(0, len(vectors), _BATCH):
        part = vectors[first : first + _BATCH]
        numbers = np.arange(first, first + len(part))
        columns = {"category": (numbers % 20).tolist(), "price": (numbers % 97 / 1.0).tolist()}
        store.put([f"item {number}" for number in numbers], part, columns)
    store.persist()
    store.search(vectors[:1], 10)
    return time.perf_counter() - start


def measure(
    store: VectorStore, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, category: int | None
) -> dict[str, float]:
    """Recall against brute force, queries a second, and the 99th percentile of a query's milliseconds."""
    rows = np.arange(len(vectors)) if category is None else np.flatnonzero(np.arange(len(vectors)) % 20 == category)
    condition = None if category is None else f"category == {category}"
    store.search(queries[:1], k, condition)
    times, matches, relevant = [], 0, 0
    for query in queries:
        start = time.perf_counter()
        (result,) = store.search(query[None], k, condition)
        times.append(time.perf_counter() - start)
        best = rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:k]]
        matches += len({match.id for match in result} & {f"item {row}" for row in best})
        relevant += len(best)
    return {
        "recall": matches / max(relevant, 1),
        "queries_a_second": len(times) / sum(times),
        "p99_ms": 1e3 * float(np.quantile(times, 0.99)),
    }


def memory_mib(pid: int | None) -> float:
    """Resident memory of this process now, or of a server and its children."""
    server = psutil.Process(pid)
    return float(
        sum(one.memory_info().rss for one in [server, *(server.children(recursive=True) if pid else [])]) / 2**20
    )


def run(kind: str, place: str, n: int, dim: int, n_queries: int, pid: int | None) -> dict[str, Any]:
    """Measure one store."""
    vectors, before = vectors_of(n, dim, 2_000), memory_mib(pid)
    queries = vectors_of(n_queries, dim, 2_000, seed=1)  # other clusters' neighbours, not stored vectors
    queries[::2] = vectors[np.arange(len(queries[::2])) * max(1, n // n_queries) % n]
    with open_store(place, kind, name=f"bench{int(time.time())}", dim=dim, columns=_COLUMNS) as store:
        seconds = fill(store, vectors)
        return {
            "kind": kind,
            "rows": n,
            "fill_seconds": seconds,
            "all": measure(store, vectors, queries, 10, None),
            "filter_5_percent": measure(store, vectors, queries, 10, 3),
            "memory_mib": memory_mib(pid) - before,
        }


def main() -> None:
    """Measure each store and print one JSON line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["faiss"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--server-pid", type=int)
    for kind in ("postgres", "milvus", "elastic"):
        parser.add_argument(f"--{kind}")
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as folder:
            place = str(Path(folder) / "store") if kind == "faiss" else getattr(arguments, kind)
            pid = None if kind == "faiss" else arguments.server_pid
            result = run(kind, place, arguments.rows, arguments.dim, arguments.queries, pid)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
