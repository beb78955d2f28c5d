"""The best possible recommender of a simulated log, from the oracle's answers in truth.parquet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from pipelines.support.candidates import Asked, Candidate

_COLUMNS = ("user_id", "split", "item_id", "best_items", "probabilities")


def best_possible(path: Path, split: str, asked: "Asked") -> "Candidate":
    """Read the oracle's lists for the users asked.

    It answers leave-one-out's questions only, so each user's target must be the one that it was asked about. Users
    whom it was not asked about have no value; the note that it leaves tells how many were.

    Raises:
        InputError: Not such a file, or one of another log or another split, or with lists that are too short.
    """
    import numpy as np
    import polars as pl

    from pipelines.support.candidates import Candidate

    dataset, queries = asked.dataset, asked.queries
    truth = _read(path).filter(pl.col("split") == split)
    users = pl.DataFrame({"user_id": dataset.user_ids.gather(queries.users)}).with_row_index("query")
    found = users.join(truth.with_columns(pl.col("user_id").cast(users["user_id"].dtype)), on="user_id")
    query = found["query"].to_numpy().astype(np.int64)
    if (queries.target_stop - queries.stop != 1).any() or not _same_targets(asked, query, found["item_id"]):
        raise InputError(
            f"{path} answers for the {split} events of another log or split than {dataset.folder}. It fits a "
            "leave-one-out split of the simulated log, unfiltered."
        )
    best = np.array(found["best_items"].to_list(), dtype=np.int64)
    if best.shape[1] < asked.evaluation_run.headline_k:
        raise InputError(
            f"{path} has lists of {best.shape[1]} items; k = {asked.evaluation_run.headline_k} needs longer ones."
        )
    lists = np.full((len(queries), best.shape[1]), -1, dtype=np.int32)
    lists[query] = dataset.rows(best.ravel()).reshape(best.shape)
    lists[lists < asked.evaluation_run.first_item] = -1
    covered = np.isin(asked.evaluation_run.asked[0], query)
    own = replace(
        asked.evaluation_run, asked=(asked.evaluation_run.asked[0][covered], asked.evaluation_run.asked[1][covered])
    )
    return Candidate(
        name="best possible",
        kind="best_possible",
        rank=_lists(lists[:, : asked.evaluation_run.ks[-1]], np.array(found["probabilities"].to_list()), query, asked),
        evaluation_run=None if covered.all() else own,
    )


def _lists(
    lists: "NDArray[np.int32]", chances: "NDArray[np.float64]", query: "NDArray[np.int64]", asked: "Asked"
) -> Callable[..., Any]:
    def rank(results: dict[str, Any]) -> "tuple[NDArray[np.int32], None]":
        ks = [k for k in asked.evaluation_run.ks if k <= lists.shape[1]]
        expected = {f"recall@{k}": float(chances[:, :k].sum(axis=1).mean()) for k in ks}
        results["best_possible"] = {"users": len(query), "expected": expected}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in expected.items())
        results["notes"].append(
            f"Best possible: ranked by the simulator's own probabilities, for {len(query):,} of {len(asked.queries):,} "
            f"users. No expected recall is higher than {shown}; the tables show it on the targets that were drawn."
        )
        return lists, None

    return rank


def _read(path: Path) -> "pl.DataFrame":
    import polars as pl

    try:
        truth = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read: {error}. Give the truth.parquet that `simulate` wrote.") from error
    if missing := [name for name in _COLUMNS if name not in truth.columns]:
        raise InputError(f"{path} has no column {missing[0]!r}; it is no truth.parquet that `simulate` wrote.")
    return truth


def _same_targets(asked: "Asked", query: "NDArray[np.int64]", item_ids: "pl.Series") -> bool:
    """Whether the oracle was asked about the very events that are to be found, and about anybody at all."""
    if not len(query):
        return False
    events = asked.queries.histories.items[asked.queries.stop[query]]
    return bool((events == asked.dataset.rows(item_ids)).all())
