"""Models of other origin: user and item vectors, or ranked lists with the log's own ids."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.ranker import InnerProducts, Ranker
from recsys_bert.stages.evaluation.held_out import HeldOut, Ranking
from recsys_bert.training.config import Precision

_FORMS = (
    "a run folder, a model with user_vectors(queries) and item_vectors(), a pair of arrays (users in the order of "
    "dataset.users, items in the order of dataset.items), a frame with user_id, item_id and rank, or a function "
    "(user_ids, k) → such a frame"
)


def external_ranker(name: str, model: Any, dataset: ClickDataset) -> Ranker | None:
    """Wrap a model that gives vectors; None for one that gives lists.

    Raises:
        InputError: Arrays of other sizes than the log has, or with values that are not finite.
    """
    if hasattr(model, "rerank"):
        ranker: Ranker = model
        return ranker
    if hasattr(model, "user_vectors") and hasattr(model, "item_vectors"):
        return VectorRanker(name, model.user_vectors, model.item_vectors, dataset)
    if isinstance(model, list | tuple) and len(model) == 2:
        users, items = (np.asarray(one, np.float32) for one in model)
        if len(users) != len(dataset.user_ids):
            raise InputError(f"{name} has {len(users):,} user vectors; the log has {len(dataset.user_ids):,} users.")
        return VectorRanker(name, lambda queries: users[queries.users], lambda: items, dataset)
    return None


class VectorRanker(InnerProducts):
    """Ranker over vectors of any origin; the score is their inner product.

    Args:
        name: Shown in tables.
        user_vectors: Queries → ``[n, d]``.
        item_vectors: Gives ``[items, d]`` in the order of ``dataset.items``, cold items last.
        dataset: The log.

    Raises:
        InputError: There are not as many item vectors as items, or some are not finite.
    """

    precision: Precision = "fp32"
    reads_times = False
    item_length: float | None = None

    def __init__(
        self, name: str, user_vectors: Callable[[Queries], Any], item_vectors: Callable[[], Any], dataset: ClickDataset
    ) -> None:
        self.name, self._users, self.first_item = name, user_vectors, dataset.vocabulary.first_item
        items = self._checked("item", item_vectors(), dataset.n_rows - self.first_item)
        self._items = np.concatenate([np.zeros((self.first_item, items.shape[1]), np.float32), items])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        rows, dim = self._items.shape
        return rows, dim

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``; zeros on special rows."""
        return self._items

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``.

        Raises:
            InputError: There are not as many as queries, or some are not finite.
        """
        return self._checked("user", self._users(queries), len(queries))

    def _checked(self, kind: str, vectors: Any, n: int) -> NDArray[np.float32]:
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or len(vectors) != n:
            raise InputError(f"{self.name} gives {kind} vectors of shape {vectors.shape}; expected [{n}, d].")
        if bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
            raise InputError(f"{bad} of {n} {kind} vectors of {self.name} are NaN or infinite.")
        return vectors


def external_lists(name: str, model: Any, held_out: HeldOut) -> Callable[[dict[str, Any]], Ranking]:
    """Read lists from a frame, or ask a function for them when ranking begins.

    Raises:
        InputError: The model has none of the forms that can be evaluated, or its frame lacks a column.
    """
    if callable(model):

        def rank(results: dict[str, Any]) -> Ranking:
            user_ids = held_out.dataset.user_ids.gather(held_out.queries.users)
            start = time.perf_counter()
            frame = model(user_ids, held_out.depth)
            seconds = time.perf_counter() - start
            return _rows(name, _lists_frame(name, frame), held_out, results["notes"]), len(user_ids) / max(
                seconds, 1e-9
            )

        return rank
    frame = _lists_frame(name, model)
    return lambda results: (_rows(name, frame, held_out, results["notes"]), None)


def _lists_frame(name: str, model: Any) -> pl.DataFrame:
    try:
        frame = to_frame(model, name)
    except InputError as error:
        raise InputError(f"{name} is a {type(model).__name__}; a model under test is {_FORMS}.") from error
    if missing := [column for column in ("user_id", "item_id") if column not in frame.columns]:
        raise InputError(f"the lists of {name} have no column {missing[0]!r}; they have {', '.join(frame.columns)}.")
    return frame if "rank" in frame.columns else frame.with_columns(rank=pl.int_range(pl.len()))


def _rows(name: str, frame: pl.DataFrame, held_out: HeldOut, notes: list[str]) -> NDArray[np.int32]:
    """Lists as item rows ``[n, depth]``; seen and repeated items are removed, users without a list have an empty one.

    An item that the log does not know keeps its rank and counts as a miss.
    """
    dataset, queries = held_out.dataset, held_out.queries
    users = pl.DataFrame({"user_id": dataset.user_ids.gather(queries.users)}).with_row_index("query")
    try:
        frame = frame.with_columns(pl.col("user_id").cast(users["user_id"].dtype))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the user_id of {name} cannot be read as {users['user_id'].dtype}: {error}.") from error
    listed = users.join(frame, on="user_id").sort("query", "rank", maintain_order=True)
    query = listed["query"].to_numpy().astype(np.int64)
    row = dataset.rows(listed["item_id"]).astype(np.int64)
    keys, is_item = query << 32 | row, row >= held_out.evaluator.first_item
    keep = ~is_item
    keep[np.unique(keys, return_index=True)[1]] = True
    if held_out.seen is not None:
        keep &= ~(is_item & np.isin(keys, held_out.seen[0].astype(np.int64) << 32 | held_out.seen[1]))
    if removed := int((~keep).sum()):
        notes.append(f"{name}: {removed:,} listed items are removed, seen or repeated.")
    query, row = query[keep], row[keep]
    rank = np.arange(len(query)) - np.searchsorted(query, query)
    lists = np.full((len(queries), held_out.depth), -1, np.int32)
    inside = rank < held_out.depth
    lists[query[inside], rank[inside]] = row[inside]
    if empty := len(queries) - len(np.unique(query)):
        notes.append(f"{name} has no list for {empty:,} of {len(queries):,} users; all their targets are missed.")
    return lists
