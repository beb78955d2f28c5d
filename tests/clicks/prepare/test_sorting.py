import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_bert.clicks.prepare.sorting import stable_order

SMALL = st.integers(-2, 3)
WIDE = st.sampled_from([-(2**63), -(2**40), -1, 0, 1, 2**31, 2**40, 2**40 + 1, 2**62, 2**63 - 1])
ROWS = st.lists(st.tuples(st.one_of(SMALL, WIDE), SMALL), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS)
def test_order_is_that_of_a_stable_sort(rows):
    times = np.array([time for time, _ in rows], np.int64)
    users = np.array([user for _, user in rows], np.int32)
    by_both = sorted(range(len(rows)), key=lambda place: (rows[place][1], rows[place][0]))  # Python's sort is stable
    assert stable_order([times, users]).tolist() == by_both
    assert stable_order([users]).tolist() == sorted(range(len(rows)), key=lambda place: rows[place][1])
    assert stable_order([times]).tolist() == sorted(range(len(rows)), key=lambda place: rows[place][0])


@pytest.mark.parametrize("days", [1, 10_000])
def test_order_of_many_events(days):
    random = np.random.default_rng(0)
    times = random.integers(0, days * 86_400_000_000, 30_000) // 1_000 * 1_000
    users = random.integers(0, 300, 30_000).astype(np.int32)
    times[::2] = times[0]  # ties
    np.testing.assert_array_equal(stable_order([times, users]), np.lexsort((times, users)))


def test_nothing_sorts_to_nothing():
    assert stable_order([np.zeros(0, np.int64)]).tolist() == []
