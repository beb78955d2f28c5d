"""Validation by full ranking while a model trains."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries, TargetKind
from recsys_bert.errors import InputError
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.retrieval.ranker import Ranker


def validation(
    dataset: ClickDataset,
    ranker: Callable[[Any], Ranker],
    *,
    users: int,
    seed: int,
    monitor: str,
    target_types: Sequence[str] = (),
    k: int = 10,
) -> Callable[[Any], dict[str, float]] | None:
    """Full-ranking recall@k and NDCG@k on the validation events; None where nothing was held out for it.

    Args:
        dataset: The log.
        ranker: Makes a ranker of the module in training.
        users: Users at most, drawn once; 0 takes all.
        seed: Seed of that draw.
        monitor: Metric that picks the best epoch.
        target_types: Event types that are targets; empty: all.
        k: Length of the lists; the whole catalogue where that is smaller.

    Raises:
        InputError: ``monitor`` is none of the metrics.
    """
    queries = drawn_queries(dataset, users, seed, target_types)
    if not len(queries):
        what = f"no {' or '.join(target_types)}" if target_types else "nothing"
        print(f"{what} is held out for validation: every epoch is run, the last weights are kept.", file=sys.stderr)
        return None
    depth = min(k, dataset.vocabulary.n_items)
    if monitor not in (known := (f"recall@{k}", f"ndcg@{k}")):
        raise InputError(f"train.monitor is {monitor!r}; this training validates {' and '.join(known)}.")
    targets, first = queries.targets(), dataset.vocabulary.first_item
    _warn_of_seen(queries, targets)

    def validate(model: Any) -> dict[str, float]:
        return list_metrics(ranker(model).rank(queries, depth), targets, first, k)

    return validate


def _warn_of_seen(queries: Queries, targets: tuple[NDArray[np.int64], NDArray[np.int32]]) -> None:
    seen = queries.seen()
    again = np.isin(targets[0] << 32 | targets[1], seen[0] << 32 | seen[1])
    if len(again) and again.all():
        print(
            f"warning: all {len(again):,} validation targets are items that the user had before, which are not "
            "recommended: every validation metric is 0 and cannot pick the best epoch. Drop repeats when preparing the "
            "log (--filters.repeats), or prepare it without validation.",
            file=sys.stderr,
        )


def list_metrics(
    ranked: NDArray[np.int32], targets: tuple[NDArray[np.int64], NDArray[np.int32]], first_item: int, k: int
) -> dict[str, float]:
    """Mean recall and NDCG of lists ``[n, depth]``, called those at ``k`` where the catalogue ends before it, too."""
    n, depth = ranked.shape
    values = per_user(ranked, targets, n, (depth,), first_item)
    return {f"{name}@{k}": float(np.nanmean(values[f"{name}@{depth}"])) for name in ("recall", "ndcg")}


def drawn_queries(
    dataset: ClickDataset,
    users: int,
    seed: int,
    target_types: Sequence[str] = (),
    targets: TargetKind = "all",
) -> Queries:
    """Validation queries of all users, or ``users`` of them, drawn by ``seed``, where there are more."""
    queries = Queries.of(dataset, "validation", targets=targets, target_types=target_types)
    if not 0 < users < len(queries):
        return queries
    return queries[np.sort(np.random.default_rng(seed).choice(len(queries), users, replace=False))]
