"""Batches of histories: everyone once an epoch, the same for the same step, never a held-out event."""

import numpy as np
import pytest

from recsys_bert.clicks.batches import HistoryBatches
from recsys_bert.clicks.histories import Histories
from recsys_bert.errors import InputError
from recsys_bert.objectives.next_item import next_item

FIRST, HELD_OUT, MONDAY = 4, 1_000_000, 1_700_438_400


@pytest.fixture(scope="module")
def histories():
    """700 users of 0 to 60 training events, numbered on; their three held-out events have rows from HELD_OUT on."""
    random = np.random.default_rng(0)
    counts = random.integers(0, 61, 700)
    offsets = np.concatenate([[0], np.cumsum(counts + 3)])
    items = (FIRST + np.arange(offsets[-1])).astype(np.int32)
    train_end = offsets[:-1] + counts
    for position in range(3):
        items[train_end + position] += HELD_OUT
    return Histories(items, items + np.int64(MONDAY), None, offsets, train_end, train_end + 1)


def plain(crops, random):
    batch = {"tokens": crops.items, "lengths": crops.lengths, "users": crops.users, "drawn": random.random(3)}
    return batch if crops.times is None else batch | {"times": crops.times}


def make(histories, **settings):
    return HistoryBatches(histories, plain, **{"batch_size": 16, "length": 20, **settings})


def training(histories, user):
    return histories.items[histories.offsets[user] : histories.train_end[user]].tolist()


def test_every_user_comes_exactly_once_an_epoch(histories):
    batches = make(histories)
    epoch = list(batches(0))
    assert len(epoch) == batches.steps
    users = np.concatenate([batch["users"] for batch in epoch])
    counts = histories.train_end - histories.offsets[:-1]
    assert sorted(users) == np.flatnonzero(counts >= 2).tolist()
    assert batches.n_skipped == (counts < 2).sum() > 0
    other = np.concatenate([batch["users"] for batch in batches(1)])
    assert sorted(other) == sorted(users)
    assert (other != users).any()


def test_a_row_is_the_last_of_the_users_training_events(histories):
    for batch in make(histories)(0):
        for row, length, user in zip(batch["tokens"], batch["lengths"], batch["users"], strict=True):
            assert row[:length].tolist() == training(histories, user)[-20:]
            assert not row[length:].any()


def test_a_random_window_is_a_run_of_training_events_and_moves(histories):
    batches, starts = make(histories, crop="random"), {}
    for epoch in range(15):
        for batch in batches(epoch):
            for row, length, user in zip(batch["tokens"], batch["lengths"], batch["users"], strict=True):
                events = training(histories, user)
                start = events.index(row[0])
                assert row[:length].tolist() == events[start : start + 20]
                assert length == min(20, len(events))
                starts.setdefault(user, set()).add(start)
    spare = {user: max(0, len(training(histories, user)) - 20) for user in starts}
    assert all(len(offsets) == 1 for user, offsets in starts.items() if spare[user] == 0)
    assert {max(offsets) == spare[user] for user, offsets in starts.items() if spare[user] == 1} == {True}  # both ends
    assert np.mean([len(offsets) > 5 for user, offsets in starts.items() if spare[user] > 20]) > 0.9


def test_a_prefix_ends_at_any_event(histories):
    batches, ends = make(histories, crop="prefix"), {}
    for epoch in range(40):
        for batch in batches(epoch):
            for row, length, user in zip(batch["tokens"], batch["lengths"], batch["users"], strict=True):
                events = training(histories, user)
                end = events.index(row[length - 1]) + 1
                assert row[:length].tolist() == events[max(0, end - 20) : end]
                ends.setdefault(user, set()).add(end)
    counts = {user: len(training(histories, user)) for user in ends}
    assert all(min(lengths) >= 2 for lengths in ends.values())
    short = [user for user, count in counts.items() if 2 < count <= 5]
    assert short
    assert all(ends[user] == set(range(2, counts[user] + 1)) for user in short)  # all of them, in so many epochs
    assert np.mean([len(lengths) > 15 for user, lengths in ends.items() if counts[user] > 40]) > 0.9


def test_every_prefix_comes_exactly_once_an_epoch(histories):
    """Against a loop over users and events."""
    expected = []
    for user in range(histories.n_users):
        events = training(histories, user)
        expected += [(user, *events[:stop][-20:]) for stop in range(2, len(events) + 1)]
    batches = make(histories, crop="every")
    for epoch in range(2):
        seen = []
        for batch in batches(epoch):
            assert len(batch["tokens"]) <= 16
            seen += [
                (int(user), *row[:n].tolist())
                for user, row, n in zip(batch["users"], batch["tokens"], batch["lengths"], strict=True)
            ]
        assert sorted(seen) == sorted(expected)
    assert batches.steps == -(-len(expected) // batches.batch_size)
    assert batches.n_skipped == make(histories).n_skipped


def test_the_same_seed_epoch_and_step_give_the_same_batch(histories):
    for crop in ("last", "random", "prefix", "every"):
        batches = make(histories, crop=crop)
        first, second = list(batches(3)), list(make(histories, crop=crop)(3))
        later = list(batches(3, first_step=7))
        for one, two in zip(first + first[7:], second + later, strict=True):
            assert all(np.array_equal(one[name], two[name]) for name in one)
        assert not np.array_equal(first[0]["drawn"], first[1]["drawn"])
    other = next(iter(make(histories, seed=1)(3)))
    assert not np.array_equal(first[0]["users"], other["users"])


def test_prefixes_end_in_targets_alone(histories):
    ends = histories.items % 3 == 0
    batches = make(histories, crop="every", ends=ends)
    last = [row[n - 1] for b in batches(0) for row, n in zip(b["tokens"], b["lengths"], strict=True)]
    every = [
        row[n - 1] for b in make(histories, crop="every")(0) for row, n in zip(b["tokens"], b["lengths"], strict=True)
    ]
    assert sorted(last) == sorted(item for item in every if item % 3 == 0)
    with pytest.raises(InputError, match="training events or more, the last of them a target"):
        make(histories, crop="every", ends=ends & False)


@pytest.mark.parametrize("crop", ["last", "random", "prefix", "every"])
def test_times_are_those_of_the_events_shown(histories, crop):
    for batch in make(histories, crop=crop, times=True)(0):
        expected = np.where(batch["tokens"] != 0, batch["tokens"] + MONDAY, 0)  # here an event's row tells its time
        np.testing.assert_array_equal(batch["times"], expected)
        assert batch["times"].dtype == np.int64
    assert all("times" not in batch for batch in make(histories)(0))


def test_histories_of_like_length_come_together(histories):
    batches = make(histories, length=60)
    mask = sum(batch["lengths"].sum() for batch in batches(0))
    cells = sum(batch["tokens"].size for batch in batches(0))
    assert mask / cells > 0.93  # about a half where 16 users are drawn at random
    widths = [batch["tokens"].shape[1] for batch in batches(0)]
    assert np.corrcoef(widths, np.arange(len(widths)))[0, 1] < 0.6  # short and long batches take turns


def test_nobody_long_enough_is_told():
    short = Histories(*(np.arange(3, dtype=np.int32), np.zeros(3, np.int64), None), np.arange(4), np.arange(1, 4),
                      np.arange(1, 4))  # fmt: skip
    with pytest.raises(InputError, match="no user has 2 training events or more; there are 3 users"):
        make(short)


def test_an_epoch_of_two_processes_is_that_of_one(histories):
    def mask(crops, random):
        return next_item(crops.items, crops.lengths, FIRST) | {"users": crops.users}

    batches = HistoryBatches(histories, mask, batch_size=16, length=20)
    parts = [list(batches(2, 5, rank, 2)) for rank in range(2)]
    for whole, first, second in zip(batches(2, 5), *parts, strict=True):
        assert sorted([*first["targets"], *second["targets"]]) == sorted(whole["targets"])
        assert max(whole["targets"]) < HELD_OUT
