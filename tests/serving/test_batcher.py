"""The batcher: company is computed together, nobody waits for ever, and what nobody waits for is not computed."""

import asyncio
import threading
import time

import pytest

from recsys_bert.serving.batcher import Batcher, BatchLimits, DeadlineExceeded, QueueFull


class Gate:
    """A computation that stands still until it is opened; keeps the batches that it saw."""

    def __init__(self):
        self.batches, self.open, self.entered = [], threading.Event(), threading.Event()

    def run(self, items):
        self.entered.set()
        assert self.open.wait(20)
        self.batches.append(list(items))
        return [item * 2 for item in items]


@pytest.fixture
def batcher():
    batchers = []

    def build(**limits):
        batchers.append(Batcher(BatchLimits(**limits)))
        return batchers[-1]

    yield build
    for one in batchers:
        assert one.close(20)


async def first_inside(batcher, gate, key="k", item=0):
    """A task whose item is being computed."""
    task = asyncio.create_task(batcher.submit(key, gate.run, item))
    await asyncio.to_thread(gate.entered.wait, 20)
    return task


def test_what_waits_is_computed_together_up_to_the_limits(batcher):
    async def scene():
        gate, one = Gate(), batcher(items=4, cost=100, wait_s=0.0)
        first = await first_inside(one, gate)
        tasks = [asyncio.create_task(one.submit("k", gate.run, item, 30)) for item in (1, 2, 3, 4)]
        tasks += [asyncio.create_task(one.submit("k", gate.run, item, 1)) for item in (5, 6, 7)]
        other = asyncio.create_task(one.submit("other", gate.run, 8))
        await asyncio.sleep(0.05)
        gate.open.set()
        results = await asyncio.gather(first, *tasks, other)
        return gate, results

    gate, results = asyncio.run(scene())
    assert results == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert gate.batches == [[0], [1, 2, 3, 5], [4, 6, 7], [8]]  # 4 × 30 is over the cost, and 4 items are the most


def test_one_alone_does_not_wait(batcher):
    async def scene():
        one = batcher(wait_s=5.0)
        start = time.monotonic()
        await one.submit("k", lambda items: items, 1)
        return time.monotonic() - start

    assert asyncio.run(scene()) < 4


def test_two_wait_for_those_that_were_just_answered(batcher):
    async def scene():
        gate, one = Gate(), batcher(wait_s=5.0)
        first = await first_inside(one, gate)
        tasks = [asyncio.create_task(one.submit("k", gate.run, item)) for item in (1, 2)]
        await asyncio.sleep(0.05)
        gate.open.set()
        await first
        again = await one.submit("k", gate.run, 3)  # comes back at once, and completes the batch
        await asyncio.gather(*tasks)
        return gate, again

    gate, again = asyncio.run(scene())
    assert again == 6
    assert gate.batches == [[0], [1, 2, 3]]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(batcher):
    async def scene():
        gate, one = Gate(), batcher(queue=2)
        first = await first_inside(one, gate)
        tasks = [asyncio.create_task(one.submit("k", gate.run, item)) for item in (1, 2)]
        await asyncio.sleep(0.05)
        assert not one.has_room
        with pytest.raises(QueueFull) as refused:
            await one.submit("k", gate.run, 3)
        gate.open.set()
        await asyncio.gather(first, *tasks)
        return refused.value.retry_after_s, one.counts.refused, one.has_room

    after, n_refused, has_room = asyncio.run(scene())
    assert after >= 1
    assert (n_refused, has_room) == (1, True)


def test_work_of_callers_that_left_or_waited_too_long_is_not_computed(batcher):
    async def scene():
        gate, one = Gate(), batcher(timeout_s=0.3, wait_s=0.0)
        first = await first_inside(one, gate)
        left = asyncio.create_task(one.submit("k", gate.run, 1))
        late = asyncio.create_task(one.submit("k", gate.run, 2))
        await asyncio.sleep(0.05)
        left.cancel()
        for task in (first, late):  # the computation hangs, its callers do not
            with pytest.raises(DeadlineExceeded):
                await task
        fresh = asyncio.create_task(one.submit("k", gate.run, 3))
        await asyncio.sleep(0.05)
        gate.open.set()
        return gate, await fresh, one.counts.dropped

    gate, fresh, dropped = asyncio.run(scene())
    assert fresh == 6
    assert gate.batches == [[0], [3]]
    assert dropped == 2


def test_an_item_that_fails_harms_no_other(batcher):
    def invert(items):
        return [1 / item for item in items]

    async def scene():
        gate, one = Gate(), batcher(wait_s=0.0)
        first = await first_inside(one, gate)
        tasks = [asyncio.create_task(one.submit("i", invert, item)) for item in (2, 0, 4)]
        await asyncio.sleep(0.05)
        gate.open.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    two, zero, four = asyncio.run(scene())
    assert (two, four) == (0.5, 0.25)
    assert isinstance(zero, ZeroDivisionError)


def test_closing_finishes_what_is_queued_and_accepts_nothing_more(batcher):
    async def scene():
        gate, one = Gate(), batcher(wait_s=0.0)
        tasks = [await first_inside(one, gate), asyncio.create_task(one.submit("k", gate.run, 1))]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(one.close, 20))
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFull):
            await one.submit("k", gate.run, 2)
        gate.open.set()
        return await asyncio.gather(*tasks), await closing

    assert asyncio.run(scene()) == ([0, 2], True)


def test_everything_is_computed_in_one_thread(batcher):
    async def scene():
        one = batcher(items=3)
        names = await asyncio.gather(
            *(one.submit("k", lambda items: [threading.current_thread().name] * len(items), n) for n in range(20))
        )
        return set(names), one.counts

    names, counts = asyncio.run(scene())
    assert names == {"model"}
    assert counts.items == 20
    assert sum(size * n for size, n in counts.sizes.items()) == 20
