import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.prepare import events as module
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.splits import by_time, cut_timestamps, leave_one_out, quantile, split_events
from recsys_bert.errors import InputError

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LOGS = st.lists(st.tuples(st.integers(0, 5), st.just(1), st.integers(0, 40)), min_size=1, max_size=60)


def test_leave_one_out_holds_out_the_last_two_of_users_with_three():
    borders = leave_one_out(np.array([0, 2, 5, 6, 10]), SplitConfig())
    assert borders.train_end.tolist() == [2, 3, 6, 8]
    assert borders.validation_end.tolist() == [2, 4, 6, 9]
    assert borders.entry == {"users_for_training_only": 2}


def test_refit_tests_the_same_events_and_trains_on_the_rest():
    offsets = np.array([0, 2, 5, 6, 10])
    published, refit = leave_one_out(offsets, SplitConfig()), leave_one_out(offsets, SplitConfig(validation=False))
    assert refit.validation_end.tolist() == published.validation_end.tolist()
    assert refit.train_end.tolist() == refit.validation_end.tolist()


@QUICK
@given(rows=LOGS, share=st.floats(0.01, 0.99))
def test_quantile_is_a_position_in_the_sorted_times(sort, monkeypatch, rows, share):
    monkeypatch.setattr(module, "CHUNK", 7)
    times = sorted(row[2] for row in rows)
    assert quantile(sort(rows, time_unit="s"), share) == times[int(share * len(rows))] * 1_000_000


@QUICK
@given(rows=LOGS, low=st.integers(0, 40), high=st.integers(0, 40))
def test_time_cut_sends_each_event_where_its_time_says(sort, monkeypatch, rows, low, high):
    monkeypatch.setattr(module, "CHUNK", 7)
    events = sort(rows, time_unit="s")
    low, high = min(low, high), max(low, high)
    borders = by_time(events, low * 1_000_000, high * 1_000_000)
    for user in range(events.n_users):
        times = events.times // 1_000_000
        first, last = events.offsets[user], events.offsets[user + 1]
        assert (times[first : borders.train_end[user]] < low).all()
        middle = times[borders.train_end[user] : borders.validation_end[user]]
        assert ((middle >= low) & (middle < high)).all()
        assert (times[borders.validation_end[user] : last] >= high).all()


def test_dates_and_quantiles_mix(sort):
    rows = [(1, 1, 86_400 * day) for day in range(10)]
    split = SplitConfig(kind="time", validation_from=0.5, test_from="1970-01-09")
    assert cut_timestamps(sort(rows), split) == (5 * 86_400_000_000, 8 * 86_400_000_000)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (SplitConfig(kind="time", test_from="2001-01-01"), "nothing can be held out for test"),
        (SplitConfig(kind="time", validation_from="1960-01-01", test_from=0.9), "no event is left to train on"),
        (SplitConfig(kind="time", validation_from=0.9, test_from=0.5), "not before test"),
        (SplitConfig(kind="time", test_from="soon"), "'soon' is not a date"),
        (SplitConfig(min_events=11), "no user has 11 events"),
    ],
)
def test_splits_that_leave_nothing_are_refused(sort, split, message):
    events = sort([(1, 1, 1000 * day) for day in range(10)])
    with pytest.raises(InputError, match=message):
        split_events(events, split, cut_timestamps(events, split) if split.kind == "time" else None)


def test_time_split_needs_times(sort):
    with pytest.raises(InputError, match="needs a time column"):
        cut_timestamps(sort([(1, 1)], time=None), SplitConfig(kind="time"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_from": 0.5}, r"split\.validation_from is 0\.5, which split\.kind 'leave_one_out' does not read"),
        ({"kind": "time", "min_events": 9}, r"split\.min_events is 9, which split\.kind 'time' does not read"),
        ({"kind": "none", "test_from": "2024-01-01"}, r"split\.test_from is 2024-01-01"),
    ],
)
def test_settings_that_a_kind_does_not_read_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        SplitConfig(**settings)


def test_quantiles_outside_of_0_and_1_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        SplitConfig(kind="time", test_from=90)
