"""Candidates of users as impressions, and their order."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import polars as pl

from recsys_bert.clicks.frames import to_frame
from recsys_bert.clicks.histories import Histories
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig
from recsys_bert.ctr.data import CTRData
from recsys_bert.ctr.describe import describe_counts
from recsys_bert.ctr.impressions import Impressions
from recsys_bert.ctr.values import as_text
from recsys_bert.errors import InputError, unknown_name

USER, ITEM = "user_id", "item_id"
_KEY = "user as text"


class Scorer(Protocol):
    """A CTR model, as far as ranking needs it."""

    config: CTRConfig

    @property
    def tasks(self) -> Sequence[str]:
        """Labels that are predicted."""

    @property
    def score_names(self) -> Sequence[str]:
        """Columns of predictions, in the order of the tasks."""

    def read(self, impressions: pl.DataFrame, *, at_end: bool) -> Impressions:
        """Read impressions."""

    def encode(self, impressions: Impressions, history: Histories | None = None) -> CTRData:
        """Encode what was read; ``history``: events of the user of all rows in place of the log's."""

    def predict_encoded(self, rows: Impressions, data: CTRData, batch_size: int) -> pl.DataFrame:
        """Score what was encoded."""


def rank(
    model: Scorer,
    users: Any,
    candidates: Any,
    k: int | None,
    by: str | None,
    batch_size: int,
    quiet: bool,
    history: Histories | None = None,
) -> pl.DataFrame:
    """Rank candidates of each user; see ``CTRModel.rank``."""
    columns, names = model.config.columns, model.score_names
    if k is not None and k < 1:
        raise InputError(f"k is {k}; it must be at least 1.")
    if by is None and len(names) > 1:
        raise InputError(f"this model predicts {', '.join(model.tasks)}; name the label that ranks with by.")
    if by is not None and by not in model.tasks:
        raise unknown_name("task", by, model.tasks)
    pairs, counts = candidate_pairs(users, candidates, columns)
    rows = model.read(pairs, at_end=columns.time not in pairs.columns)
    data = model.encode(rows, history)
    counts = {**counts, **data.counts}
    if any(counts.values()) and not quiet:
        print(f"{len(data):,} candidates{describe_counts(counts)}", file=sys.stderr)
    scores = model.predict_encoded(rows, data, batch_size).select(columns.item, *names)
    user, score = user_column(columns), names[0 if by is None else list(model.tasks).index(by)]
    return best_of_each(scores, pairs[user] if user in pairs.columns else None, score, k)


def user_column(columns: ColumnsConfig) -> str:
    """Column of users in rankings."""
    return columns.user or USER


def candidate_pairs(users: Any, candidates: Any, columns: ColumnsConfig) -> tuple[pl.DataFrame, dict[str, int]]:
    """Pair users with their candidates.

    Args:
        users: Ids, a table with one row a user, or None.
        candidates: Item ids, or a table of items, with or without users.
        columns: Names of user and item.

    Returns:
        One row a pair, users in order; and the number of users without a candidate.

    Raises:
        InputError: A column is missing, a user comes twice, or nobody has a candidate.
    """
    if columns.item is None:
        raise InputError("this model reads no item: columns.item named no column in training. It cannot rank items.")
    user = user_column(columns)
    items = _table(candidates, {columns.item: ITEM, user: USER}, columns.item, "candidates")
    if users is None:
        return _not_empty(items), {}
    people = _table(users, {user: USER}, user, "users")
    if len(twice := people.filter(people[user].is_duplicated())[user]):
        raise InputError(f"users has {twice[0]!r} more than once; each user has one list.")
    items = items.drop([name for name in people.columns if name in items.columns and name != user])
    if user not in items.columns:
        return _not_empty(people.join(items, how="cross")), {}
    people = people.with_columns(as_text(people[user]).alias(_KEY))
    items = items.with_columns(as_text(items[user]).alias(_KEY)).drop(user)
    pairs = people.join(items, on=_KEY, how="inner", maintain_order="left_right").drop(_KEY)
    return _not_empty(pairs), {"users without candidates": len(people.join(items, on=_KEY, how="anti"))}


def best_of_each(scores: pl.DataFrame, users: pl.Series | None, score: str, k: int | None) -> pl.DataFrame:
    """Sort each user's rows by a score, ties in the order of the candidates.

    Args:
        scores: Item and scores, one row a pair.
        users: User of each pair; None: one list.
        score: Column that ranks.
        k: Rows for each user; None: all.

    Returns:
        User, ``rank`` from 1, then the columns of ``scores``.
    """
    group = pl.Series("group", [0] * len(scores)) if users is None else users.alias("group")
    first = pl.int_range(pl.len()).alias("row")
    rank = pl.col(score).rank("ordinal", descending=True).over("group").cast(pl.Int32).alias("rank")
    ranked = scores.with_columns(group).with_columns(first, rank)
    ranked = ranked.sort(pl.col("row").min().over("group"), "rank")
    if k is not None:
        ranked = ranked.filter(pl.col("rank") <= k)
    if users is None:
        return ranked.select("rank", *scores.columns)
    return ranked.select(pl.col("group").alias(users.name), "rank", *scores.columns)


def _table(data: Any, usual: dict[str, str], required: str, title: str) -> pl.DataFrame:
    """A table, whose columns may have their ``usual`` names, or ids as one of one column."""
    is_table = isinstance(data, pl.DataFrame | pl.LazyFrame | dict) or hasattr(data, "columns")
    if not is_table:
        if isinstance(data, str) or not hasattr(data, "__iter__"):
            raise InputError(f"{title} is a {type(data).__name__}; give ids in a list, or a table.")
        return pl.DataFrame({required: pl.Series(list(data))})
    table = to_frame(data, title)
    renamed = {old: new for new, old in usual.items() if new not in table.columns and old in table.columns}
    table = table.rename(renamed)
    if required not in table.columns:
        names = " or ".join(dict.fromkeys(map(repr, (required, usual[required]))))
        raise InputError(f"{title} has no column {names}; it has {', '.join(map(repr, table.columns))}.")
    return table


def _not_empty(pairs: pl.DataFrame) -> pl.DataFrame:
    if not len(pairs):
        raise InputError("no user has a candidate: are users and candidates of the same log?")
    return pairs
