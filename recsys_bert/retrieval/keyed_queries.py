"""Queries with the keys by which their lists are returned: users of a log, or histories of item ids."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class KeyedQueries:
    """Queries, and the key of each.

    Args:
        queries: The histories.
        keys: User ids, or numbers of histories from 1; its name is that of the result's first column.
        counts: Skipped users by reason, or unknown items.
    """

    queries: Queries
    keys: pl.Series
    counts: dict[str, Any]


def user_queries(dataset: ClickDataset, users: Any = None) -> KeyedQueries:
    """Ask for the next items of users; all their events are the history, held-out ones too.

    Args:
        dataset: The log.
        users: The log's own user ids, a list or Series; None takes all users. Those without events are skipped.

    Raises:
        InputError: Some are not in the log, or none of them has an event.
    """
    data = dataset.histories
    rows = np.arange(data.n_users) if users is None else dataset.user_rows(users)
    start, stop = data.offsets[rows], data.offsets[rows + 1]
    active = stop > start
    rows, start, stop = rows[active], start[active], stop[active]
    n_skipped = int((~active).sum())
    if not len(rows):
        raise InputError(f"none of the {n_skipped:,} users has any event in {dataset.folder}.")
    if n_skipped:
        print(f"{n_skipped:,} users have no events and are skipped.", file=sys.stderr)
    queries = Queries(data, rows, start, stop, stop, data.times[stop - 1] + 1, timed=dataset.has_times)
    return KeyedQueries(queries, dataset.user_ids.gather(rows).rename("user_id"), {"skipped": {"no events": n_skipped}})


def history_queries(dataset: ClickDataset, histories: Sequence[Sequence[Any]]) -> KeyedQueries:
    """Ask for the next items of histories given on the fly.

    Args:
        dataset: The log.
        histories: The log's own item ids, oldest first, one sequence each. Unknown items are read as such.

    Raises:
        InputError: A history holds no known item.
    """
    ids = [list(history) for history in histories]
    flat = [item for history in ids for item in history]
    if not flat:
        raise InputError("no history holds an item; give item ids, oldest first.")
    rows = dataset.rows(flat)
    known = rows >= dataset.vocabulary.first_item
    borders = np.cumsum([len(history) for history in ids])[:-1]
    bad = [number for number, part in enumerate(np.split(known, borders), start=1) if not part.any()]
    if bad:
        raise InputError(
            f"{len(bad):,} of {len(ids):,} histories hold no item of {dataset.folder}; the first is number {bad[0]}: "
            f"{ids[bad[0] - 1]}."
        )
    n_unknown = int((~known).sum())
    if n_unknown:
        names = ", ".join(dict.fromkeys(repr(item) for item, is_known in zip(flat, known, strict=True) if not is_known))
        print(f"{n_unknown:,} of {len(flat):,} items are unknown and read as such: {names[:200]}", file=sys.stderr)
    keys = pl.Series("query", np.arange(1, len(ids) + 1))
    return KeyedQueries(Queries.from_lists(np.split(rows, borders)), keys, {"unknown_items": n_unknown})
