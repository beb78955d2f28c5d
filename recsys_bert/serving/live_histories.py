"""Histories of requests: events of the log, then live ones, then those that came with the request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.errors import InputError
from recsys_bert.serving.id_rows import IdRows
from recsys_bert.serving.live_log import LiveLog

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Query:
    """A list that is wanted.

    Args:
        user_id: User of the log or of live events; None: nobody known.
        history: Item ids that follow the user's events, oldest first.
        history_times: Unix seconds of each; None: unknown.
        k: Length of the list.
        only: Allow list, as ``ItemMasks`` reads it.
        without: Deny list, likewise.
        exclude_seen: Leave out items of the history.
        diversity: Weight of the redundancy, in [0, 1).
        max_per: Most items of one value, by side column.
        reasons: Explain each item.
        text: Words to be found in the items' texts.
        text_weight: Of the words against the history, in (0, 1).
    """

    user_id: str | int | None = None
    history: Sequence[str | int] = ()
    history_times: Sequence[int] | None = None
    k: int = 10
    only: Any = None
    without: Any = None
    exclude_seen: bool = True
    diversity: float = 0.0
    max_per: tuple[tuple[str, int], ...] = ()
    reasons: bool = False
    text: str | None = None
    text_weight: float = 0.5


@dataclass(frozen=True)
class Known:
    """History of one user: rows, times and event types, and the user's row or -1."""

    user: int
    items: Ints
    times: Ints
    types: Ints
    timed: bool
    notes: list[str]


class LiveHistories:
    """Histories of a log that goes on.

    Args:
        dataset: The log.
        users: Its user ids.
        items: Item ids → rows, -1 for unknown ones.
        live: Events that came after it; None: there are none.
        reads_times: True iff the ranker reads timestamps.
    """

    def __init__(
        self,
        dataset: ClickDataset,
        users: IdRows,
        items: Callable[[Sequence[str | int]], Ints],
        live: LiveLog | None,
        *,
        reads_times: bool,
    ) -> None:
        self._dataset, self._users, self._items, self._live_log = dataset, users, items, live
        self._reads_times, self._first_item = reads_times, dataset.vocabulary.first_item
        self._event_types = {name: int(dataset.event_type_codes([name])[0]) for name in dataset.event_types}

    def of(self, query: Query) -> Known:
        """History of a query: of the log, then live events, then the items that came with it."""
        user, notes = -1, []
        parts: list[tuple[Ints, Ints, Ints]] = []
        timed = self._dataset.has_times
        if query.user_id is not None:
            user_id = self._users.cast(query.user_id)
            user = int(self._users.rows([user_id])[0])
            parts += [self._logged(user), self._live(str(user_id))]
        if query.history:
            rows = self._items(query.history)
            if n_unknown := int((rows < 0).sum()):
                notes.append(f"{n_unknown} of {len(rows)} items of the history are unknown")
            if query.history_times is not None and len(query.history_times) != len(rows):
                raise InputError(
                    f"history_times has {len(query.history_times)} times; the history has {len(rows)} items."
                )
            times = np.zeros(len(rows), np.int64) if query.history_times is None else np.array(query.history_times)
            timed = timed and query.history_times is not None
            parts.append((np.where(rows < 0, UNKNOWN, rows), times, np.zeros(len(rows), np.int64)))
        items, times, types = (np.concatenate([part[n] for part in parts] or [np.zeros(0, np.int64)]) for n in range(3))
        if self._reads_times and len(items) and not timed:
            raise InputError("this run reads when events happened; give history_times beside history.")
        if not (items >= self._first_item).any():
            items, times, types = items[:0], times[:0], types[:0]
        return Known(user, items, times, types, timed, notes)

    def after_log(self, user_id: str | int) -> Histories | None:
        """Events of a user by time, those of the log and live ones; None where there are no live ones.

        Raises:
            InputError: An id of another type than the log's.
        """
        cast = self._users.cast(user_id)
        parts = [self._logged(int(self._users.rows([cast])[0])), self._live(str(cast))]
        if not len(parts[1][0]):
            return None
        items, times, types = (np.concatenate([part[n] for part in parts]) for n in range(3))
        order, stop = np.argsort(times, kind="stable"), np.array([len(times)])
        typed = self._dataset.histories.event_types is not None
        codes = types[order].astype(np.uint16) if typed else None
        offsets = np.array([0, len(times)])
        return Histories(items[order].astype(np.int32), times[order], None, offsets, stop, stop, codes)

    def n_logged(self, user: int) -> int:
        """Events of the log of a user's row, which come before live ones in ``of``; 0 of row -1."""
        return len(self._logged(user)[0])

    def _logged(self, user: int) -> tuple[Ints, Ints, Ints]:
        data = self._dataset.histories
        if user < 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        part = slice(int(data.offsets[user]), int(data.offsets[user + 1]))
        types = np.zeros(part.stop - part.start, np.int64) if data.event_types is None else data.event_types[part]
        return data.items[part].astype(np.int64), data.times[part], types.astype(np.int64)

    def _live(self, user_id: str) -> tuple[Ints, Ints, Ints]:
        events = [] if self._live_log is None else self._live_log.events_of(user_id)
        rows = self._items([event.item_id for event in events])
        events = [event for event, row in zip(events, rows, strict=True) if row >= 0]
        times = np.array([event.timestamp for event in events], np.int64)
        types = np.array([self._event_types.get(event.event_type or "", 0) for event in events], np.int64)
        return rows[rows >= 0], times, types

    def queries(self, known: Sequence[Known]) -> Queries:
        """Queries over histories of their own."""
        lengths = np.array([len(one.items) for one in known], np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        items = np.concatenate([one.items for one in known]).astype(np.int32)
        times = np.concatenate([one.times for one in known])
        typed = self._dataset.histories.event_types is not None
        types = np.concatenate([one.types for one in known]).astype(np.uint16) if typed else None
        data = Histories(items, times, None, offsets, offsets[1:], offsets[1:], types)
        users, start, stop = np.array([one.user for one in known]), offsets[:-1], offsets[1:]
        timed = all(one.timed for one in known)
        return Queries(data, users, start, stop, stop, times[stop - 1] + 1, timed=timed)
