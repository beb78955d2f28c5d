"""Queries to a recommender: histories up to a timestamp, and the items that came next."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories, Ints, Rows, distinct, ranges
from recsys_bert.errors import InputError

TargetKind = Literal["all", "next", "last", "successive"]
"""Targets of a user: all held-out events at once, from the history before the first; or the next one, the last one, or
every one in turn, each from all events before it."""

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset


@dataclass(frozen=True)
class Queries:
    """Inputs ``items[start:stop]`` and targets ``items[stop:target_stop]``, one of each per query.

    Args:
        histories: Source of the items.
        users: User row of each query, ``[n]``; -1 for users of no log.
        start: First event of the input, ``[n]``.
        stop: Its end and the first target, ``[n]``.
        target_stop: End of the targets, ``[n]``.
        times: Timestamp of each query: that of the first target, ``[n]``.
        skipped: Users without a query, by reason.
        timed: True if the events' times are unix seconds; otherwise they are positions in the history.
        target_types: Codes of the event types that are targets; empty: all.
    """

    histories: Histories
    users: Ints
    start: Ints
    stop: Ints
    target_stop: Ints
    times: Ints
    skipped: dict[str, int] = field(default_factory=dict)
    timed: bool = True
    target_types: tuple[int, ...] = ()

    @staticmethod
    def of(
        dataset: "ClickDataset",
        split: Literal["validation", "test"] = "test",
        *,
        targets: TargetKind = "all",
        target_types: Sequence[str] = (),
    ) -> "Queries":
        """Queries about held-out events; users without an event before their targets are skipped.

        Args:
            dataset: The log.
            split: Held-out events that are the targets.
            targets: All of a user's targets in one query; or the next one, the last one, or one query for each.
            target_types: Event types that are targets; empty: all.

        Raises:
            InputError: The log has no such event type.
        """
        held_out = _HeldOut.of(dataset, split, target_types)
        data, first, begin = dataset.histories, dataset.histories.offsets[:-1], held_out.begin
        if targets == "all":
            owner, index = held_out.one_each("next")
            owner, index = owner[begin[owner] > first[owner]], index[begin[owner] > first[owner]]
            stop, target_stop = begin[owner], held_out.end[owner]
        else:
            owner, index = (held_out.owner, held_out.index) if targets == "successive" else held_out.one_each(targets)
            owner, index = owner[index > first[owner]], index[index > first[owner]]
            stop, target_stop = index, index + 1
        n_users, n_targeted = len(np.unique(owner)), len(np.unique(held_out.owner))
        what = f" of type {' or '.join(target_types)}" if target_types else ""
        skipped = {
            f"no {split} event{what}": data.n_users - n_targeted,
            f"no event before {split}": n_targeted - n_users,
        }
        codes, times = held_out.target_types, data.times[index]
        return Queries(data, owner, first[owner], stop, target_stop, times, skipped, dataset.has_times, codes)

    @staticmethod
    def of_new_users(
        dataset: "ClickDataset", split: Literal["validation", "test"] = "test", *, target_types: Sequence[str] = ()
    ) -> "Queries":
        """Queries with empty inputs, of the users that ``of`` skips for having no event before the split."""
        held_out = _HeldOut.of(dataset, split, target_types)
        data, (owner, index) = dataset.histories, held_out.one_each("next")
        new = held_out.begin[owner] == data.offsets[owner]
        owner, index = owner[new], index[new]
        begin, codes = held_out.begin[owner], held_out.target_types
        return Queries(data, owner, begin, begin, held_out.end[owner], data.times[index], {}, dataset.has_times, codes)

    @staticmethod
    def from_lists(lists: Sequence[Any], times: Any = None, event_times: Sequence[Any] | None = None) -> "Queries":
        """Queries from histories as item rows, oldest first, without targets.

        Args:
            lists: One sequence of item rows per query.
            times: Timestamp of each query, unix seconds; 0 by default.
            event_times: Unix seconds of each item, one sequence as long as its list per query; required by encoders
                that read times.

        Raises:
            InputError: ``event_times`` are not as many as the items.
        """
        lengths = np.array([len(rows) for rows in lists], np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        parts = [np.asarray(rows, np.int32) for rows in lists]
        items = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        timestamps = np.zeros(len(lists), np.int64) if times is None else np.asarray(times, np.int64)
        if event_times is None:
            item_times = np.arange(len(items)) - np.repeat(offsets[:-1], lengths)
        elif [len(part) for part in event_times] == lengths.tolist():
            item_times = np.array([timestamp for part in event_times for timestamp in part], np.int64)
        else:
            n_times = [len(part) for part in event_times]
            raise InputError(f"event_times has {n_times} times per query; the lists have {lengths.tolist()} items.")
        data = Histories(items, item_times, None, offsets, offsets[1:], offsets[1:])
        no_user = np.full(len(lists), -1, np.int64)  # not users of the log: no side features
        start, stop = offsets[:-1], offsets[1:]
        return Queries(data, no_user, start, stop, stop, timestamps, timed=event_times is not None)

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, index: slice | NDArray[Any]) -> "Queries":
        names = ("users", "start", "stop", "target_stop", "times")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def inputs(self, max_len: int) -> tuple[Rows, Ints]:
        """Last ``max_len`` items of each input, padded on the right: items ``[n, longest]``, lengths ``[n]``."""
        return self.histories.gather(self.start, self.stop, max_len)

    def input_times(self, max_len: int) -> Ints:
        """Unix seconds of the items that ``inputs`` gives, ``[n, longest]``.

        Raises:
            InputError: These histories have no times.
        """
        if not self.timed:
            raise InputError(
                "these histories have no times, which this encoder reads. Query users of a log with times, or pass "
                "event_times to from_lists."
            )
        return self.histories.gather_times(self.start, self.stop, max_len)

    def input_event_types(self, max_len: int) -> Rows:
        """Codes of the types of the events that ``inputs`` gives, ``[n, longest]``; 0 where they have none."""
        return self.histories.gather_event_types(self.start, self.stop, max_len)

    def seen(self) -> tuple[Ints, Rows]:
        """Distinct items of the full inputs: (query index, row) pairs, sorted."""
        index, rows = self._pairs(self.start, self.stop)
        pairs = distinct(index << 32 | rows.astype(np.int64))
        return pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)

    def targets(self) -> tuple[Ints, Rows]:
        """Target events: (query index, row) pairs, oldest first.

        Repeated items are kept: metrics merge them, except unknown items, which share a row.
        """
        query, index = self._target_events()
        return query, self.histories.items[index]

    def target_weights(self) -> NDArray[np.float32] | None:
        """Event weight of each target event, in the order of ``targets``; None where all are 1."""
        weights = self.histories.weights
        return None if weights is None else weights[self._target_events()[1]]

    def _target_events(self) -> tuple[Ints, Ints]:
        query, index = self._events(self.stop, self.target_stop)
        if not self.target_types:
            return query, index
        assert self.histories.event_types is not None
        targeted = np.isin(self.histories.event_types[index], self.target_types)
        return query[targeted], index[targeted]

    def _pairs(self, start: Ints, stop: Ints) -> tuple[Ints, Rows]:
        query, index = self._events(start, stop)
        return query, self.histories.items[index]

    def _events(self, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
        """Events of every query: its index, and theirs."""
        lengths = stop - start
        return np.repeat(np.arange(len(self)), lengths), ranges(start, lengths)


@dataclass(frozen=True)
class _HeldOut:
    """Held-out events that are targets.

    Args:
        begin: First held-out event of each user, ``[n_users]``.
        end: End of each user's held-out events, ``[n_users]``.
        owner: User row of each target, ascending, ``[n]``.
        index: Its event, ``[n]``.
        target_types: Codes of their types; empty: all.
    """

    begin: Ints
    end: Ints
    owner: Ints
    index: Ints
    target_types: tuple[int, ...]

    @staticmethod
    def of(dataset: "ClickDataset", split: Literal["validation", "test"], target_types: Sequence[str]) -> "_HeldOut":
        data, codes = dataset.histories, dataset.event_type_codes(target_types)
        if split == "validation":
            begin, end = data.train_end, data.validation_end
        else:
            begin, end = data.validation_end, data.offsets[1:]
        owner, index = np.repeat(np.arange(data.n_users), end - begin), ranges(begin, end - begin)
        if len(codes):
            assert data.event_types is not None
            targeted = np.isin(data.event_types[index], codes)
            owner, index = owner[targeted], index[targeted]
        return _HeldOut(begin, end, owner, index, tuple(codes.tolist()))

    def one_each(self, kind: Literal["next", "last"]) -> tuple[Ints, Ints]:
        """Users with a target, and the first or last target of each."""
        change = np.diff(self.owner) != 0
        edge = np.concatenate([[True], change] if kind == "next" else [change, [True]]) if len(self.owner) else change
        return self.owner[edge], self.index[edge]
