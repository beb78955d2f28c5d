"""Rows for the contract of stores, with brute force as its oracle."""

from pathlib import Path
from typing import Any

import numpy as np

DIM, N = 16, 3_000
COLUMNS = {"price": "float", "stock": "int", "brand": "str", "sold_out": "bool", "genres": "tags"}
HARD_IDS = [
    "../../etc/passwd", "a'b\"c", "'; DROP TABLE items; --", "<script>alert(1)</script>", "tab\tnew\nline",
    "\x01\x1b[31m",
    "日本語", "हिन्दी", "🙂", "%s %d {} $1", "back\\slash", "`tick`", " ", "x" * 512, "null", "\u202eabc",
    "a,b;c", "*?[]",
]  # fmt: skip


def make_rows(n: int = N, seed: int = 0) -> dict[str, Any]:
    """Clustered vectors whose cluster has nothing to do with the columns; some values are missing."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(60, DIM))
    vectors = (centres[random.integers(0, 60, n)] + 0.3 * random.normal(size=(n, DIM))).astype(np.float32)
    prices = [float(price) if price > 2 else None for price in random.integers(0, 100, n)]
    columns = {
        "price": prices,
        "stock": [int(number) for number in random.integers(0, 1_000, n)],
        "brand": [f"brand {number}" for number in random.integers(0, 20, n)],
        "sold_out": [None if number == 0 else bool(number % 2) for number in random.integers(0, 9, n)],
        "genres": [[f"genre {g}" for g in range(5) if bits >> g & 1] or None for bits in random.integers(0, 32, n)],
    }
    return {"ids": [f"item {number}" for number in range(n)], "vectors": vectors, "columns": columns}


def nearest(rows: dict[str, Any], query: np.ndarray, k: int, keep: np.ndarray | None = None) -> list[str]:
    """Ids by inner product, among those that are kept."""
    scores = rows["vectors"] @ query
    order = [n for n in np.argsort(-scores, kind="stable") if keep is None or keep[n]]
    return [rows["ids"][n] for n in order[:k]]


def recall(results: list[list[Any]], expected: list[list[str]]) -> float:
    """Share of the expected ids that the results have."""
    matches = sum(len({one.id for one in result} & set(ids)) for result, ids in zip(results, expected, strict=True))
    return matches / sum(len(ids) for ids in expected)


def holds(rows: dict[str, Any], condition: Any) -> np.ndarray:
    """Evaluate a Python condition on each row: ``condition(price=…, brand=…, …)``."""
    columns = rows["columns"]
    return np.array(
        [bool(condition(**dict(zip(columns, row, strict=True)))) for row in zip(*columns.values(), strict=True)]
    )


PUTS = """
import sys
import numpy as np
from recsys_bert.stores.opening import open_store

place, kind, name = sys.argv[1:4]
store = open_store(place, kind, name=name)
for number in range(100_000):
    store.put([f"item {number}"], np.full((1, store.about.dim), number, np.float32), texts=[f"text {number}"])
    print(number, flush=True)
"""
"""Program that puts one row after another and says which are acknowledged."""


def repository() -> Path:
    """Root of the sources."""
    return Path(__file__).parents[2]
