"""Histories of all users as one memory-mapped Arrow file: flat arrays, and batches gathered from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys_bert.errors import InputError

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Values = TypeVar("Values", Rows, Ints, NDArray[np.float32], NDArray[np.uint16])


@dataclass(frozen=True)
class Histories:
    """Events of all users, user by user, oldest first.

    Training events of user ``u`` are ``items[offsets[u]:train_end[u]]``, validation ``items[train_end[u]:
    validation_end[u]]`` and test ``items[validation_end[u]:offsets[u + 1]]``. Any of them may be empty.

    Args:
        items: Item rows, ``[n_events]``.
        times: Unix seconds, or the position in the history where the log has no times, ``[n_events]``.
        weights: Event weights, ``[n_events]``, or None where all are 1.
        offsets: ``[n_users + 1]``.
        train_end: ``[n_users]``.
        validation_end: ``[n_users]``.
        event_types: Code of each event's type, 0 for none, ``[n_events]``; None if the log has no types.
    """

    items: Rows
    times: Ints
    weights: NDArray[np.float32] | None
    offsets: Ints
    train_end: Ints
    validation_end: Ints
    event_types: NDArray[np.uint16] | None = None

    @property
    def n_users(self) -> int:
        """Users, also those without events in some part."""
        return len(self.offsets) - 1

    def gather(self, start: Ints, stop: Ints, max_len: int) -> tuple[Rows, Ints]:
        """Copy the last ``max_len`` items of each ``[start, stop)``.

        Returns:
            Items ``[n, longest]``, padded with 0 on the right, and lengths ``[n]``.
        """
        return gather(self.items, start, stop, max_len)

    def gather_times(self, start: Ints, stop: Ints, max_len: int) -> Ints:
        """Copy the times of the events that ``gather`` copies, padded likewise: ``[n, longest]``."""
        return gather(self.times, start, stop, max_len)[0]

    def gather_weights(self, start: Ints, stop: Ints, max_len: int) -> NDArray[np.float32] | None:
        """Copy the weights of those events, padded likewise; None where all are 1."""
        return None if self.weights is None else gather(self.weights, start, stop, max_len)[0]

    def gather_event_types(self, start: Ints, stop: Ints, max_len: int) -> NDArray[np.int32]:
        """Copy the types of those events, padded likewise; 0 everywhere if there are none."""
        if self.event_types is None:
            return np.zeros_like(gather(self.items, start, stop, max_len)[0])
        return gather(self.event_types, start, stop, max_len)[0].astype(np.int32)

    def save(self, path: Path) -> None:
        """Write one record batch with one row per user; nothing but the file's metadata is built in memory."""
        offsets = pa.array(self.offsets)
        columns: dict[str, Any] = {
            "items": pa.LargeListArray.from_arrays(offsets, _array(self.items, pa.int32())),
            "times": pa.LargeListArray.from_arrays(offsets, _array(self.times, pa.int64())),
            "train_end": pa.array(self.train_end),
            "validation_end": pa.array(self.validation_end),
        }
        if self.weights is not None:
            columns["weights"] = pa.LargeListArray.from_arrays(offsets, _array(self.weights, pa.float32()))
        if self.event_types is not None:
            columns["event_types"] = pa.LargeListArray.from_arrays(offsets, _array(self.event_types, pa.uint16()))
        batch = pa.RecordBatch.from_pydict(columns)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    @staticmethod
    def load(path: Path) -> "Histories":
        """Map the file; nothing is read before it is used.

        Raises:
            InputError: The file is missing, damaged or not a history file.
        """
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            items, times = batch.column("items"), batch.column("times")
            optional = {
                name: batch.column(name).values.to_numpy() if name in batch.schema.names else None
                for name in ("weights", "event_types")
            }
            return Histories(
                items=items.values.to_numpy(zero_copy_only=True),
                times=times.values.to_numpy(zero_copy_only=True),
                offsets=items.offsets.to_numpy(zero_copy_only=True),
                train_end=batch.column("train_end").to_numpy(),
                validation_end=batch.column("validation_end").to_numpy(),
                **optional,
            )
        except (OSError, pa.ArrowException, KeyError, IndexError) as error:
            raise InputError(f"{path} cannot be read as histories: {error}. Run prepare again.") from error


def _array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def gather(values: Values, start: Ints, stop: Ints, max_len: int) -> tuple[Values, Ints]:
    """Copy the last ``max_len`` of each ``values[start:stop]`` into one padded array; see ``Histories.gather``."""
    start = np.maximum(start, stop - max_len)
    lengths = np.maximum(stop - start, 0)
    longest = int(lengths.max(initial=0))
    positions = np.arange(longest)
    inside = positions[None, :] < lengths[:, None]
    gathered = np.zeros(inside.shape, values.dtype)
    gathered[inside] = values[ranges(start, lengths)]
    return gathered, lengths


def distinct(keys: Ints) -> Ints:
    """Non-negative keys, each once, sorted; ``np.unique`` hashes them and takes ten times as long."""
    keys = np.sort(keys, kind="stable")
    return keys[np.diff(keys, prepend=-1) != 0]


def ranges(start: Ints, lengths: Ints) -> Ints:
    """Concatenate ``arange(start, start + length)`` of every pair, without a loop."""
    total = int(lengths.sum())
    first = np.cumsum(lengths) - lengths
    return np.repeat(start - first, lengths) + np.arange(total)
