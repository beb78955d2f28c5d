"""Exact search against approximate indexes on the same vectors: recall of targets and lists, speed, memory, build."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.evaluation.evaluator import Evaluator, list_recall
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.progress import step
from recsys_bert.retrieval.exact import Seen
from recsys_bert.retrieval.faiss_parts import check
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_config import IndexConfig, Metric

_WARM_UP = 64  # queries before the clock starts


@dataclass(frozen=True, kw_only=True)
class Searched:
    """Vectors of one run with the lists of exact search."""

    name: str
    """The run's."""
    users: NDArray[np.float32]
    """``[n, dim]``."""
    items: NDArray[np.float32]
    """``[rows, dim]``, by item row."""
    first_item: int
    """Rows below it are no items."""
    seen: Seen | None
    """Pairs never to return."""
    exact: NDArray[np.int32]
    """``[n, k]`` of the exact search."""
    seconds: float
    """Duration of the exact search."""


def machine() -> str:
    """Describe the machine that speed was measured on."""
    return f"{os.cpu_count()} CPU cores"


def check_factories(factories: Sequence[str], dim: int, n: int) -> None:
    """Refuse index types that FAISS does not know or cannot train on ``n`` items, before anything costs time.

    Raises:
        InputError: See ``ItemIndex.build``.
    """
    for factory in factories:
        check(IndexConfig(factory=factory, metric=_metric(factory)), dim, n)


def _metric(factory: str) -> Metric:
    return "cosine" if "LSH" in factory else "ip"  # LSH compares directions only; its recall shows what that costs


def compare_indexes(searched: Searched, factories: Sequence[str], evaluator: Evaluator) -> list[dict[str, Any]]:
    """Build every index from the same vectors and repeat the exact search's queries on it.

    Returns:
        One dict an index, exact search first.

    Raises:
        InputError: An index does not fit, say too few items to train it on.
    """
    width = searched.exact.shape[1]
    items = np.ascontiguousarray(searched.items[searched.first_item :])
    rows = np.arange(searched.first_item, len(searched.items), dtype=np.int32)
    lines = [_line(searched, evaluator, "exact", searched.exact, searched.seconds, items.nbytes, None)]
    for factory in factories:
        with step(f"{searched.name}: index {factory}"):
            start = time.perf_counter()
            index = ItemIndex.build(items, rows, factory, _metric(factory), seed=evaluator.seed)
            build = time.perf_counter() - start
            k = min(width, len(index))
            index.search(searched.users[:_WARM_UP], k)
            start = time.perf_counter()
            lists = index.search(searched.users, k, searched.seen)[0]
            seconds = time.perf_counter() - start
            lists = np.pad(lists, ((0, 0), (0, width - k)), constant_values=-1)
        lines.append(_line(searched, evaluator, factory, lists, seconds, index.memory, build))
    return lines


def _line(
    searched: Searched,
    evaluator: Evaluator,
    factory: str,
    lists: NDArray[np.int32],
    seconds: float,
    size: int,
    build: float | None,
) -> dict[str, Any]:
    n, k = lists.shape
    values = per_user(lists, evaluator.targets, n, (evaluator.headline_k, k), evaluator.first_item)
    return {
        "run": searched.name,
        "factory": factory,
        "ann_recall": list_recall(lists, searched.exact),
        "headline_recall": float(np.nanmean(values[f"recall@{evaluator.headline_k}"])),
        "recall": float(np.nanmean(values[f"recall@{k}"])),
        "queries_per_second": n / max(seconds, 1e-9),
        "bytes": size,
        "build_seconds": build,
    }
