"""Scores of given (user, item) pairs."""

import sys

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.exact import pair_products
from recsys_bert.retrieval.keyed_queries import user_queries
from recsys_bert.retrieval.ranker import Ranker

REASONS = ("history", "no events", "unknown item", "no vector")
"""Values of ``source``."""


def pair_scores(
    ranker: Ranker, dataset: ClickDataset, pairs: pl.DataFrame, has_vector: NDArray[np.bool_]
) -> pl.DataFrame:
    """Scores as lists have them, by the users' full histories.

    Args:
        ranker: The model.
        dataset: The log.
        pairs: ``user_id`` and ``item_id``; other columns stay.
        has_vector: ``[n_rows]``, True on rows that the ranker knows something of.

    Returns:
        The pairs in their order with ``score``, null where there is none, and ``source``: ``history``, or the reason.

    Raises:
        InputError: A column is missing, there are no pairs, or ids are of another type than the log's.
    """
    if missing := [name for name in ("user_id", "item_id") if name not in pairs.columns]:
        raise InputError(f"the pairs have no column {missing[0]!r}; they have {', '.join(map(repr, pairs.columns))}.")
    if not pairs.height:
        raise InputError("there are no pairs to score; give user_id and item_id.")
    keyed = user_queries(dataset, pairs["user_id"])
    table = pl.DataFrame({"user_id": keyed.keys, "query": np.arange(len(keyed.keys))})
    users = pairs.select(pl.col("user_id").cast(table["user_id"].dtype))
    query = users.join(table, on="user_id", how="left", maintain_order="left")["query"].fill_null(-1).to_numpy()
    rows = dataset.rows(pairs["item_id"]).astype(np.int64)
    reason = np.select([query < 0, rows < ranker.first_item, ~has_vector[rows]], [1, 2, 3], 0)
    scored = reason == 0
    scores = np.full(pairs.height, np.nan, np.float32)
    if scored.any():
        scores[scored] = _products(ranker, keyed.queries, query[scored].astype(np.int64), rows[scored])
    _print_missing(reason)
    source = pl.Series("source", REASONS).gather(reason)
    return pairs.with_columns(score=pl.Series(scores).fill_nan(None), source=source)


def _products(
    ranker: Ranker, queries: Queries, query: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Inner products of pairs, and what the ranker adds to them, ``[pairs]``."""
    scores = pair_products(ranker.user_vectors(queries), ranker.item_vectors(), query, row)
    gains = ranker.gains(queries, query, row)
    return scores if gains is None else scores + gains


def _print_missing(reason: NDArray[np.int64]) -> None:
    counts = {name: int((reason == number).sum()) for number, name in enumerate(REASONS) if number}
    if any(counts.values()):
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        print(f"{sum(counts.values()):,} of {len(reason):,} pairs have no score: {listed}.", file=sys.stderr)
