"""Dynamic batching onto one thread: a bounded queue, deadlines, and work dropped when nobody waits for it.

As in bert-as-service and Text Embeddings Inference, requests that wait together are computed together, up to a cost in
rows or tokens. A request alone is never delayed: the thread waits for company only where something else is queued.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[list[Any]], Sequence[Any]]
"""Items of one batch → a result for each, in order; a result that is an exception is raised for its item alone."""


class QueueFull(Exception):
    """The queue has no room, or the batcher has stopped; try again later."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(Exception):
    """The result did not come in time; its work is dropped."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Limits of a batcher."""

    items: int = 32
    """Items of a batch."""
    cost: int = 4096
    """Summed cost of a batch; a single item may exceed it."""
    queue: int = 256
    """Items that wait; more are refused."""
    wait_s: float = 0.003
    """Seconds to wait for a fuller batch, where at least two items are queued."""
    timeout_s: float = 10.0
    """Seconds until an item without a result is given up."""


@dataclass(eq=False)
class _Entry:
    key: Hashable
    run: Run
    item: Any
    cost: int
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    dropped: bool = False


@dataclass
class BatchCounts:
    """Running totals."""

    batches: int = 0
    items: int = 0
    dropped: int = 0
    """Items whose caller went away or whose deadline passed before they were computed."""
    refused: int = 0
    busy_s: float = 0.0
    sizes: dict[int, int] = field(default_factory=dict)
    """Batches by number of items."""


class Batcher:
    """Queue in front of one thread.

    Args:
        limits: Of batches, queue and time.
        name: Name of the thread.
    """

    def __init__(self, limits: BatchLimits | None = None, name: str = "model") -> None:
        self.limits, self.counts = limits or BatchLimits(), BatchCounts()
        self._queue: deque[_Entry] = deque()
        self._changed = threading.Condition()
        self._stopped, self._last_size = False, 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Items that wait."""
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """True iff another item would be accepted."""
        return not self._stopped and len(self._queue) < self.limits.queue

    async def submit(self, key: Hashable, run: Run, item: Any, cost: int = 1) -> Any:
        """Compute an item, together with others of the same key.

        Args:
            key: Items with equal keys may share a batch.
            run: Computes a batch; of a batch that of its first item is called.
            item: The item.
            cost: Its cost, in the unit of ``BatchLimits.cost``.

        Raises:
            QueueFull: Too many wait already.
            DeadlineExceeded: It took too long.
        """
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + self.limits.timeout_s
        entry = _Entry(key, run, item, cost, deadline, loop, loop.create_future())
        with self._changed:
            if not self.has_room:
                self.counts.refused += 1
                raise QueueFull("too many requests are waiting; try again later.", self._wait_estimate())
            self._queue.append(entry)
            self._changed.notify()
        try:
            return await asyncio.wait_for(entry.future, self.limits.timeout_s)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no result within {self.limits.timeout_s:g} s.") from error
        finally:
            entry.dropped = not entry.future.done() or entry.future.cancelled()

    def close(self, timeout_s: float | None = None) -> bool:
        """Accept nothing more, finish what is queued, and end the thread.

        Args:
            timeout_s: Seconds to wait; None: until it is done.

        Returns:
            True iff the thread has ended.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wait_estimate(self) -> float:
        """Seconds in which the queue is worked off, by the time that items took so far."""
        each = self.counts.busy_s / max(self.counts.items, 1)
        return max(1.0, each * len(self._queue))

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._compute(batch)

    def _next_batch(self) -> list[_Entry] | None:
        """Oldest item that somebody waits for, and others of its key; None when stopped and empty."""
        limits = self.limits
        with self._changed:
            while not self._queue:
                if self._stopped:
                    return None
                self._changed.wait()
            # those just answered may ask again at once: with them the batch is as full as it gets
            full = min(limits.items, len(self._queue) + self._last_size)
            if 1 < len(self._queue) < full and not self._stopped:
                until = time.monotonic() + limits.wait_s
                while len(self._queue) < full and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            batch = self._take()
            self._last_size = len(batch)
            return batch

    def _take(self) -> list[_Entry]:
        batch: list[_Entry] = []
        rest: deque[_Entry] = deque()
        cost, now, limits = 0, time.monotonic(), self.limits
        for entry in self._queue:
            if entry.dropped or entry.deadline <= now:
                self.counts.dropped += 1
            elif not batch or (
                entry.key == batch[0].key and len(batch) < limits.items and cost + entry.cost <= limits.cost
            ):
                batch.append(entry)
                cost += entry.cost
            else:
                rest.append(entry)
        self._queue = rest
        return batch

    def _compute(self, batch: list[_Entry]) -> None:
        start = time.monotonic()
        results = _results(batch)
        counts = self.counts
        counts.busy_s += time.monotonic() - start
        counts.batches, counts.items = counts.batches + 1, counts.items + len(batch)
        counts.sizes[len(batch)] = counts.sizes.get(len(batch), 0) + 1
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Entry, Any]]] = {}
        for entry, result in zip(batch, results, strict=True):
            by_loop.setdefault(entry.loop, []).append((entry, result))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, pairs)


def _results(batch: list[_Entry]) -> Sequence[Any]:
    """Results of a batch; where it fails as a whole, of each item alone, so that a bad one harms no other."""
    try:
        results = batch[0].run([entry.item for entry in batch])
        if len(results) != len(batch):
            raise RuntimeError(f"{len(results)} results came of {len(batch)} items")
        return results
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [_results([entry])[0] for entry in batch]


def _deliver(pairs: list[tuple[_Entry, Any]]) -> None:
    for entry, result in pairs:
        if entry.future.done():
            continue
        if isinstance(result, BaseException):
            entry.future.set_exception(result)
        else:
            entry.future.set_result(result)
