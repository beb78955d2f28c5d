"""Queries to a recommender: histories up to a timestamp, and the items that came next."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories, Ints, Rows, distinct, ranges
from recsys_bert.errors import InputError

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
    """

    histories: Histories
    users: Ints
    start: Ints
    stop: Ints
    target_stop: Ints
    times: Ints
    skipped: dict[str, int] = field(default_factory=dict)
    timed: bool = True

    @staticmethod
    def of(dataset: "ClickDataset", split: Literal["validation", "test"] = "test") -> "Queries":
        """One query per user: held-out events of the split as targets, all earlier events as input."""
        data = dataset.histories
        first = data.offsets[:-1]
        stop, target_stop = (
            (data.train_end, data.validation_end) if split == "validation" else (data.validation_end, data.offsets[1:])
        )
        has_target, has_input = target_stop > stop, stop > first
        users = np.flatnonzero(has_target & has_input)
        skipped = {
            f"no {split} event": int((~has_target).sum()),
            f"no event before {split}": int((has_target & ~has_input).sum()),
        }
        stop = stop[users]
        start, target_stop, times = first[users], target_stop[users], data.times[stop]
        return Queries(data, users, start, stop, target_stop, times, skipped, dataset.has_times)

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

    def seen(self) -> tuple[Ints, Rows]:
        """Distinct items of the full inputs: (query index, row) pairs, sorted."""
        index, rows = self._pairs(self.start, self.stop)
        pairs = distinct(index << 32 | rows.astype(np.int64))
        return pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)

    def targets(self) -> tuple[Ints, Rows]:
        """Target events: (query index, row) pairs, oldest first.

        Repeated items are kept: metrics merge them, except unknown items, which share a row.
        """
        return self._pairs(self.stop, self.target_stop)

    def _pairs(self, start: Ints, stop: Ints) -> tuple[Ints, Rows]:
        lengths = stop - start
        return np.repeat(np.arange(len(self)), lengths), self.histories.items[ranges(start, lengths)]
