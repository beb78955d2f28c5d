from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.prepare import events as module
from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig
from recsys_bert.clicks.prepare.filters import core, filter_events
from recsys_bert.clicks.prepare.repeats import repeats
from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import prepare

LOGS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 50)), min_size=1, max_size=80)
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain_core(rows, min_user, min_item, rounds):
    """Drop by counting again from nothing."""
    for _ in range(rounds):
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        rest = [row for row in rows if users[row[0]] >= min_user and items[row[1]] >= min_item]
        if len(rest) == len(rows):
            break
        rows = rest
    return rows


def pairs(events):
    users = np.repeat(events.user_ids.to_numpy(), np.diff(events.offsets))
    return sorted(zip(users.tolist(), events.item_ids.to_numpy()[events.items].tolist(), strict=True))


@QUICK
@given(rows=LOGS, min_user=st.integers(1, 4), min_item=st.integers(1, 4), iterate=st.booleans())
def test_k_core_matches_counting_again_from_nothing(sort, monkeypatch, rows, min_user, min_item, iterate):
    monkeypatch.setattr(module, "CHUNK", 5)
    expected = plain_core(rows, min_user, min_item, 1000 if iterate else 1)
    one_count = min(min_user, min_item) == 1  # nothing to repeat; k_core is refused there
    config = FilterConfig(min_user_events=min_user, min_item_events=min_item, k_core=iterate or one_count)
    events = sort(rows, time_unit="s")
    if not expected:
        with pytest.raises(InputError, match="none of"):
            filter_events(events, config, SplitConfig())
        return
    assert pairs(filter_events(events, config, SplitConfig()).events) == sorted(row[:2] for row in expected)


def test_k_core_by_time_counts_and_drops_training_events_only(sort):
    # item 9 has three events, two of them after the cut; user 3 only comes after it
    rows = [(1, 7, 1), (1, 7, 2), (2, 7, 3), (2, 9, 4), (2, 7, 5), (1, 9, 90), (3, 9, 91)]
    split = SplitConfig(kind="time", validation_from="1970-01-01T00:00:50", test_from="1970-01-01T00:01:30")
    rest = filter_events(sort(rows), FilterConfig(min_user_events=2, min_item_events=2), split)
    assert pairs(rest.events) == sorted([(1, 7), (1, 7), (2, 7), (2, 7), (1, 9), (3, 9)])
    assert rest.log[0]["reasons"] == {"users with too few events": 1, "items with too few events": 1}


def test_no_training_event_left_before_the_cut(sort):
    split = SplitConfig(kind="time", validation_from=0.5, test_from=0.8)
    with pytest.raises(InputError, match="none of 5 training events is left after"):
        filter_events(sort([(1, item, item) for item in range(10)]), FilterConfig(min_user_events=6), split)


@QUICK
@given(rows=LOGS)
def test_repeats_are_the_same_item_right_after_itself(sort, monkeypatch, rows):
    monkeypatch.setattr(module, "CHUNK", 3)
    events = sort(rows, time_unit="s")
    expected, before = [], None
    for row in sorted(rows, key=lambda row: (row[0], row[2])):
        expected.append(before == row[:2])
        before = row[:2]
    assert repeats(events, FilterConfig(repeats="consecutive")).tolist() == expected


@QUICK
@given(rows=LOGS, which=st.sampled_from(["first", "last"]), within=st.sampled_from([None, 0, 3, 10]))
def test_repeats_of_an_item_match_a_plain_loop(sort, monkeypatch, rows, which, within):
    monkeypatch.setattr(module, "CHUNK", 5)
    config = FilterConfig(repeats=which, repeats_within=within)
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    expected = []
    for at, (user, item, time) in enumerate(ordered):
        others = ordered[:at][::-1] if which == "first" else ordered[at + 1 :]
        near = next((row for row in others if row[:2] == (user, item)), None)
        expected.append(near is not None and (within is None or abs(near[2] - time) <= within))
    assert repeats(sort(rows, time_unit="s"), config).tolist() == expected


def test_a_purchase_of_a_viewed_item_is_no_repeat(tmp_path):
    rows = [(1, 5, 1, "view"), (1, 5, 2, "buy"), (1, 5, 3, "view"), (1, 6, 4, "view"), (1, 7, 5, "view")]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "kind"], orient="row")
    log = prepare(frame, log={"event": "kind"}, filters={"repeats": "first"}, split={"kind": "none"})
    assert log.history(1) == [5, 5, 6, 7]
    assert [log.event_types[code - 2] for code in log.histories.event_types] == ["view", "buy", "view", "view"]


def test_nothing_is_dropped_from_training_for_a_held_out_event(sort):
    rows = [(1, 5, 1), (1, 5, 2), (1, 6, 3), (1, 5, 60), (2, 5, 1), (2, 6, 70)]
    split = SplitConfig(kind="time", validation=False, test_from="1970-01-01T00:00:50")
    rest = filter_events(sort(rows, time_unit="s"), FilterConfig(repeats="last"), split)
    assert rest.events.times.tolist() == [2_000_000, 3_000_000, 60_000_000, 1_000_000, 70_000_000]
    with pytest.raises(InputError, match="repeats_within"):
        FilterConfig(repeats_within=5.0)


def test_dropped_repeats_are_told(sort):
    rest = filter_events(
        sort([(1, 5, 1), (1, 5, 2), (1, 6, 3), (1, 5, 4)]), FilterConfig(repeats="consecutive"), SplitConfig()
    )
    assert pairs(rest.events) == [(1, 5), (1, 5), (1, 6)]
    assert rest.log[0]["reasons"] == {"consecutive repeats": 1}
    assert (rest.log[0]["events_in"], rest.log[0]["events_out"]) == (4, 3)


def test_many_rounds_peel_a_chain(sort):
    # user u has items u and u + 1: only the ends are weak at first, and each round bares the next two
    rows = [(user, user + step, 0) for user in range(20) for step in (0, 1)]
    users, items = core(sort(rows), np.arange(2, 42, 2), 2, 2, iterate=True)
    assert not users.any()
    assert not items.any()
