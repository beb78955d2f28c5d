"""Queries with the keys by which their lists are returned: users of a log, or histories of item ids."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.prepare.ids import integer_ids
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN, as_ids
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class KeyedQueries:
    """Queries, and the key of each.

    Args:
        queries: The histories.
        keys: User ids, or numbers of histories from 1; its name is that of the result's first column.
        counts: Users without events, or unknown items.
        without_events: Users that have no history: not in the log, or without an event in it.
        order: All keys in the order in which lists are returned.
    """

    queries: Queries
    keys: pl.Series
    counts: dict[str, Any]
    without_events: pl.Series
    order: pl.Series


def user_queries(dataset: ClickDataset, users: Any = None) -> KeyedQueries:
    """Ask for the next items of users; all their events are the history, held-out ones too.

    Args:
        dataset: The log.
        users: The log's own user ids, a list or Series; None takes all users. An id that comes twice counts once.

    Raises:
        InputError: Ids of another type than the log's.
    """
    data, known = dataset.histories, dataset.user_ids.rename("user_id")
    ids = known if users is None else as_ids(users, known.dtype, "user").rename("user_id").unique(maintain_order=True)
    table = pl.DataFrame({"user_id": known, "row": np.arange(len(known))})
    joined = ids.to_frame().join(table, on="user_id", how="left", maintain_order="left")
    is_known = joined["row"].is_not_null()
    rows = joined["row"].drop_nulls().to_numpy().astype(np.int64)
    active = data.offsets[rows + 1] > data.offsets[rows]
    has_events = is_known.to_numpy().copy()
    has_events[has_events] = active
    rows = rows[active]
    start, stop = data.offsets[rows], data.offsets[rows + 1]
    queries = Queries(data, rows, start, stop, stop, data.times[stop - 1] + 1, timed=dataset.has_times)
    others = ids.filter(pl.Series(~has_events))
    return KeyedQueries(
        queries, known.gather(rows), {"users_without_events": len(others)}, others.rename("user_id"), ids
    )


def history_queries(
    dataset: ClickDataset, histories: Sequence[Sequence[Any]], *, skip_unknown: bool = False
) -> KeyedQueries:
    """Ask for the next items of histories given on the fly.

    Args:
        dataset: The log.
        histories: The log's own item ids, oldest first, one sequence each. Unknown items are read as such.
        skip_unknown: Histories without a known item are counted and left out, as long as some are left. Keys stay
            numbers among all.

    Raises:
        InputError: A history holds no known item.
    """
    ids = [list(history) for history in histories]
    flat = [item for history in ids for item in history]
    if not flat:
        raise InputError("no history holds an item; give item ids, oldest first.")
    rows = _rows(dataset, flat) if skip_unknown else dataset.rows(flat)
    known = rows >= dataset.vocabulary.first_item
    borders = np.cumsum([len(history) for history in ids])[:-1]
    has_item = np.array([part.any() for part in np.split(known, borders)])
    bad = np.flatnonzero(~has_item) + 1
    if len(bad) and not (skip_unknown and has_item.any()):
        raise InputError(
            f"{len(bad):,} of {len(ids):,} histories hold no item of {dataset.folder}; the first is number {bad[0]}: "
            f"{ids[bad[0] - 1]}."
        )
    if len(bad):
        print(
            f"{len(bad):,} of {len(ids):,} histories hold no item of {dataset.folder} and are skipped; the first is "
            f"number {bad[0]}.",
            file=sys.stderr,
        )
    n_unknown = int((~known).sum())
    if n_unknown:
        names = ", ".join(dict.fromkeys(repr(item) for item, is_known in zip(flat, known, strict=True) if not is_known))
        print(f"{n_unknown:,} of {len(flat):,} items are unknown and read as such: {names[:200]}", file=sys.stderr)
    keys = pl.Series("query", np.flatnonzero(has_item) + 1)
    queries = Queries.from_lists([part for part, good in zip(np.split(rows, borders), has_item, strict=True) if good])
    counts = {"unknown_items": n_unknown} | ({"skipped": {"no known item": len(bad)}} if skip_unknown else {})
    return KeyedQueries(queries, keys, counts, keys[:0], keys)


def _rows(dataset: ClickDataset, ids: list[Any]) -> NDArray[np.int32]:
    """Rows of ids of any type; those that cannot be ids of the log are unknown."""
    texts = pl.Series([str(item) for item in ids])
    kind = dataset.vocabulary.item_ids.dtype
    if kind != pl.String:
        integers = texts.rename("id").to_frame().select(integer_ids(pl.col("id"), pl.String()))["id"]
        rows = np.full(len(ids), UNKNOWN, np.int32)
        rows[integers.is_not_null().to_numpy()] = dataset.rows(integers.drop_nulls())
        return rows
    return dataset.rows(texts)
