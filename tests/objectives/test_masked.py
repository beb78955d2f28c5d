"""Masked batches: what stands beside the masks."""

import numpy as np

from recsys_bert.objectives.masked import known_times


def test_masked_events_have_the_time_of_the_last_known_one():
    random = np.random.default_rng(0)
    times, masked = np.sort(random.integers(0, 1000, (20, 9)), axis=1), random.random((20, 9)) < 0.4
    result = known_times(times, masked)
    for row in range(20):
        known = None
        for position in range(9):
            known = known if masked[row, position] else times[row, position]
            assert result[row, position] == (times[row, position] if known is None else known)
    assert (result != times).any()
