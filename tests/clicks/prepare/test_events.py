import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.prepare import events as module
from recsys_bert.clicks.prepare import numbering
from recsys_bert.clicks.prepare.events import chunks

FEW = st.integers(0, 4)
LOGS = st.lists(st.tuples(FEW, st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=60)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(rows=LOGS, size=st.sampled_from([1, 7, 1000]), span=st.sampled_from([0, 1000]))
def test_order_is_user_then_time_then_original_row(sort, monkeypatch, rows, size, span):
    monkeypatch.setattr(numbering, "SPAN", span)
    monkeypatch.setattr(module, "BUCKET", size)
    monkeypatch.setattr(module, "BATCH", 2 * size)
    events = sort(rows, time_unit="s")
    expected = sorted(rows, key=lambda row: (row[0], row[2]))  # Python's sort is stable
    users = np.repeat(events.user_ids.to_numpy(), np.diff(events.offsets))
    items = events.item_ids.to_numpy()[events.items]
    seconds = events.times // 1_000_000
    assert list(zip(users, items, seconds, strict=True)) == expected


def test_without_times_the_log_s_order_counts(sort):
    events = sort([("b", "z"), ("a", "y"), ("b", "x"), ("a", "z"), ("b", "z")], time=None)
    assert events.times is None
    assert events.user_ids.to_list() == ["a", "b"]
    assert events.item_ids.gather(events.items).to_list() == ["y", "z", "z", "x", "z"]


def test_times_below_a_second_still_order_events(sort):
    rows = [(1, "later", "2024-01-01T00:00:00.750Z"), (1, "sooner", "2024-01-01T00:00:00.250Z")]
    events = sort(rows)
    assert events.item_ids.gather(events.items).to_list() == ["sooner", "later"]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_cover_all_users_once_and_never_cut_one(size):
    offsets = np.array([0, 0, 5, 5, 6, 13, 14])
    slices = list(chunks(offsets, size))
    assert [user for users, _ in slices for user in range(users.start, users.stop)] == list(range(6))
    assert [event for _, events in slices for event in range(events.start, events.stop)] == list(range(14))
    assert all(events == slice(offsets[users.start], offsets[users.stop]) for users, events in slices)


def test_select_drops_users_without_events(sort):
    events = sort([(1, 10, 1), (2, 20, 1), (2, 10, 2), (3, 30, 1)])
    rest = events.select(np.array([False, True, False, True]), "rest")
    assert rest.user_ids.to_list() == [2, 3]
    assert rest.offsets.tolist() == [0, 1, 2]
    assert rest.item_ids.gather(pl.Series(rest.items)).to_list() == [20, 30]
    assert (rest.times // 1_000_000).tolist() == [1, 1]
