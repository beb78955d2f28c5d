"""The best possible recommender of a simulated log: the oracle's lists in truth.parquet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.stages.evaluation.held_out import HeldOut, ModelUnderTest, Ranking

_COLUMNS = ("user_id", "split", "event", "item_id", "best_items", "probabilities")


def best_possible(path: Path, split: str, held_out: HeldOut) -> ModelUnderTest:
    """Read the oracle's lists for the held-out users.

    The oracle answers leave-one-out splits only, so each user's target must be the oracle's. Users that it has no list
    for have no value; a note counts them.

    Raises:
        InputError: Not such a file, or one of another log or another split, or with lists that are too short.
    """
    dataset, queries, evaluator = held_out.dataset, held_out.queries, held_out.evaluator
    event = held_out.target_types[0] if len(held_out.target_types) == 1 else "any"
    truth = _read(path).filter((pl.col("split") == split) & (pl.col("event") == event))
    users = pl.DataFrame({"user_id": dataset.user_ids.gather(queries.users)}).with_row_index("query")
    answers = users.join(truth.with_columns(pl.col("user_id").cast(users["user_id"].dtype)), on="user_id")
    query = answers["query"].to_numpy().astype(np.int64)
    if len(queries.targets()[0]) != len(queries) or not _same_targets(held_out, query, answers["item_id"]):
        raise InputError(
            f"{path} answers for the {split} events of another log or split than {dataset.folder}. It fits a "
            "leave-one-out split of the simulated log, unfiltered; of purchases, where it was simulated with "
            "purchase-spread and split.target_types and target_types are purchase."
        )
    best = np.array(answers["best_items"].to_list(), dtype=np.int64)
    if best.shape[1] < evaluator.headline_k:
        raise InputError(f"{path} has lists of {best.shape[1]} items; k = {evaluator.headline_k} needs longer ones.")
    lists = np.full((len(queries), best.shape[1]), -1, dtype=np.int32)
    lists[query] = dataset.rows(best.ravel()).reshape(best.shape)
    lists[lists < evaluator.first_item] = -1
    covered = np.isin(evaluator.events[0], query)
    events = (evaluator.events[0][covered], evaluator.events[1][covered])
    gains = None if evaluator.gains is None else evaluator.gains[covered]
    return ModelUnderTest(
        name="best possible",
        kind="best_possible",
        rank=_lists(lists[:, : held_out.depth], np.array(answers["probabilities"].to_list()), query, held_out),
        evaluator=None if covered.all() else replace(evaluator, events=events, gains=gains),
    )


def _lists(
    lists: NDArray[np.int32], probabilities: NDArray[np.float64], query: NDArray[np.int64], held_out: HeldOut
) -> Callable[[dict[str, Any]], Ranking]:
    def rank(results: dict[str, Any]) -> Ranking:
        ks = [k for k in held_out.evaluator.ks if k <= lists.shape[1]]
        expected = {f"recall@{k}": float(probabilities[:, :k].sum(axis=1).mean()) for k in ks}
        results["best_possible"] = {"users": len(query), "expected": expected}
        values = ", ".join(f"{name} {value:.4f}" for name, value in expected.items())
        results["notes"].append(
            f"Best possible: ranked by the simulator's own probabilities, for {len(query):,} of "
            f"{len(held_out.queries):,} users. No expected recall is higher than {values}; the tables show it on the "
            "targets that were drawn."
        )
        return lists, None

    return rank


def _read(path: Path) -> pl.DataFrame:
    try:
        truth = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read: {error}. Give the truth.parquet that `simulate` wrote.") from error
    if missing := [name for name in _COLUMNS if name not in truth.columns]:
        raise InputError(f"{path} has no column {missing[0]!r}; it is no truth.parquet that `simulate` wrote.")
    return truth


def _same_targets(held_out: HeldOut, query: NDArray[np.int64], item_ids: pl.Series) -> bool:
    """True iff the oracle's targets are the held-out ones, of at least one user."""
    if not len(query):
        return False
    events = held_out.queries.histories.items[held_out.queries.stop[query]]
    return bool((events == held_out.dataset.rows(item_ids)).all())
