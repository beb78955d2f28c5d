"""Events of all users as memory-mapped arrays, sorted by (user, time, original row)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.histories import ranges
from recsys_bert.clicks.prepare.ids import index_in
from recsys_bert.clicks.prepare.log import Log
from recsys_bert.clicks.prepare.numbering import Numbering, batches, number
from recsys_bert.clicks.prepare.sorting import stable_order
from recsys_bert.progress import Progress, step

CHUNK = 1_000_000  # events handled at a time; bounds the memory of every step below
BATCH = 500_000  # events read at a time
BUCKET = 2_000_000  # events sorted at a time
COLUMNS = {"items": "item", "times": "time", "weights": "weight", "types": "type", "parts": "part"}
"""Arrays of ``Events``, and their columns in the log."""
KINDS = {"items": np.int32, "times": np.int64, "weights": np.float32, "types": np.uint16, "parts": np.uint8}


@dataclass(frozen=True)
class Events:
    """Sorted events, user by user.

    Args:
        folder: Folder of the arrays.
        items: Item code of each event, index into ``item_ids``; ``[n]``.
        times: Microseconds since 1970, ``[n]``, or None.
        weights: ``[n]``, or None if all are 1.
        types: Code of each event's type, 0 where it has none, ``[n]``; None if the log has no types.
        parts: Part of a split of one's own, ``[n]``: 0 training, 1 validation, 2 test; None otherwise.
        type_names: Event types in the order of their codes.
        log_user_ids: Id in the log of each user, where users are sessions; None otherwise.
        offsets: Events of user ``u`` are ``offsets[u]:offsets[u + 1]``.
        user_ids: Sorted ids.
        item_ids: Sorted ids.
    """

    folder: Path
    items: NDArray[np.int32]
    times: NDArray[np.int64] | None
    weights: NDArray[np.float32] | None
    offsets: NDArray[np.int64]
    user_ids: pl.Series
    item_ids: pl.Series
    types: NDArray[np.uint16] | None = None
    parts: NDArray[np.uint8] | None = None
    type_names: tuple[str, ...] = ()
    log_user_ids: pl.Series | None = None

    @property
    def n_users(self) -> int:
        """Users in the log."""
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Arrays of one value an event, by name."""
        return {column: getattr(self, column) for column in COLUMNS if getattr(self, column) is not None}

    def chunks(self) -> Iterator[tuple[slice, slice]]:
        """(users, events) slices of about ``CHUNK`` events each; a user is never cut."""
        return chunks(self.offsets)

    def with_users(self, user_ids: pl.Series) -> "Events":
        """Copy the events to new files, user by user in the order of ``user_ids``; some may have no events."""
        rows = index_in(user_ids, self.user_ids)
        return replace(self.in_order(rows.fill_null(-1).to_numpy(), "users"), user_ids=user_ids)

    def in_order(self, rows: NDArray[np.int64], name: str) -> "Events":
        """Copy the events to new files called ``name``, user by user; row -1 is a user without events."""
        row, has_events = np.maximum(rows, 0), rows >= 0
        start = self.offsets[row] if self.n_users else np.zeros(len(row), np.int64)
        lengths = np.where(has_events, self.offsets[row + 1] - start, 0) if self.n_users else np.zeros(len(row), int)
        offsets, columns = _offsets(lengths), self.columns
        writer = EventWriter(self.folder, name, columns)
        for users, _ in chunks(offsets):
            at = ranges(start[users], lengths[users])
            writer.append({column: values[at] for column, values in columns.items()})
        ordered = replace(self, **writer.arrays(), offsets=offsets)
        if not self.n_users:
            return ordered
        log_ids = self.log_user_ids
        return replace(
            ordered,
            user_ids=self.user_ids.gather(row),
            log_user_ids=None if log_ids is None else log_ids.gather(row),
        )

    def select(self, mask: NDArray[np.bool_], name: str) -> "Events":
        """Copy the events where ``mask`` holds, and users that still have any, to new files called ``name``."""
        counts = np.zeros(self.n_users, np.int64)
        columns = self.columns
        writer = EventWriter(self.folder, name, columns)
        for users, events in self.chunks():
            part = mask[events]
            running = np.concatenate([[0], np.cumsum(part)])
            counts[users] = np.diff(running[self.offsets[users.start : users.stop + 1] - events.start])
            writer.append({column: values[events][part] for column, values in columns.items()})
        has_events = counts > 0
        active, log_ids = pl.Series(has_events), self.log_user_ids
        return replace(
            self,
            **writer.arrays(),
            offsets=_offsets(counts[has_events]),
            user_ids=self.user_ids.filter(active),
            log_user_ids=None if log_ids is None else log_ids.filter(active),
        )


def chunks(offsets: NDArray[np.int64], size: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Split users into chunks of about ``size`` (or ``CHUNK``) events: (users, events) slices."""
    first, n_users, size = 0, len(offsets) - 1, size or CHUNK
    while first < n_users:
        last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
        last = min(max(last, first + 1), n_users)
        yield slice(first, last), slice(int(offsets[first]), int(offsets[last]))
        first = last


def sorted_events(log: Log, work: Path) -> Events:
    """Number users and items by their sorted ids and sort the events, bucket by bucket.

    Memory holds the ids, and one bucket; the rest is on disk in ``work``.
    """
    with step("ids"):
        users, items = (number(log.table(), name, log.rows, BATCH) for name in ("user", "item"))
    offsets = _offsets(users.counts)
    buckets = [slices[0] for slices in chunks(offsets, BUCKET)]
    columns = _scatter(log, users, items, buckets, work)
    fields = {field: column for field, column in COLUMNS.items() if column in columns}
    writer = EventWriter(work, "sorted", fields)
    with Progress("sorting", int(offsets[-1]), "events") as progress:
        for bucket in range(len(buckets)):
            values = {name: _pop(_bucket_path(work, bucket, name), kind) for name, kind in columns.items()}
            order = stable_order([values[name] for name in ("time", "part", "user") if name in values])
            writer.append({field: values[column][order] for field, column in fields.items()})
            progress.advance(len(order))
    return replace(
        writer.events(), offsets=offsets, user_ids=users.ids, item_ids=items.ids, type_names=tuple(log.types)
    )


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _scatter(
    log: Log, users: Numbering, items: Numbering, buckets: list[slice], work: Path
) -> dict[str, np.dtype[Any]]:
    """Append each event to its user's bucket, in the order of the log; one file per bucket and column.

    Returns:
        Type of each column.
    """
    bucket_of = np.repeat(np.arange(len(buckets), dtype=np.uint16), [part.stop - part.start for part in buckets])
    columns: dict[str, NDArray[Any]] = {}
    with Progress("reading", int(users.counts.sum()), "events") as progress:
        for batch in batches(items.joined(users.joined(log.table())), BATCH):
            columns = {name: batch[name].to_numpy() for name in batch.columns if name not in ("user", "item")}
            columns |= {"user": users.of(batch["user"]), "item": items.of(batch["item"])}
            bucket = bucket_of[columns["user"]]
            order = np.argsort(bucket, kind="stable")
            ends = np.cumsum(np.bincount(bucket, minlength=len(buckets)))
            for name, values in columns.items():
                for n, part in enumerate(np.split(values[order], ends[:-1])):
                    with open(_bucket_path(work, n, name), "ab") as file:
                        part.tofile(file)
            progress.advance(len(batch))
    return {name: values.dtype for name, values in columns.items()}


def _bucket_path(work: Path, bucket: int, column: str) -> Path:
    return work / f"bucket-{bucket}.{column}"


def _pop(path: Path, kind: Any) -> NDArray[Any]:
    values = np.fromfile(path, kind)
    path.unlink()
    return values


class EventWriter:
    """Append events to raw files, then map them."""

    def __init__(self, folder: Path, name: str, fields: Iterable[str]) -> None:
        self._folder = folder
        self._kinds = {field: KINDS[field] for field in fields}
        self._files = {field: open(folder / f"{name}.{field}", "wb") for field in self._kinds}  # noqa: SIM115 - closed by events()

    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Write some events behind those written before."""
        for field, values in columns.items():
            np.ascontiguousarray(values, self._kinds[field]).tofile(self._files[field])

    def arrays(self) -> dict[str, Any]:
        """Close the files and map them."""
        arrays: dict[str, Any] = {}
        for field, file in self._files.items():
            file.close()
            arrays[field] = mapped(Path(file.name), self._kinds[field])
        return arrays

    def events(self) -> Events:
        """Events of the files; offsets and ids are left to the caller."""
        arrays: dict[str, Any] = dict.fromkeys(COLUMNS) | self.arrays()
        nothing = pl.Series([])
        return Events(self._folder, **arrays, offsets=np.zeros(1, np.int64), user_ids=nothing, item_ids=nothing)


def mapped(path: Path, kind: Any) -> NDArray[Any]:
    """Map a raw file for reading; an empty one gives an empty array."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
