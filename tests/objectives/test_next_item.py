"""Next-item batches against a plain loop."""

import numpy as np

from recsys_bert.bucketing import share
from recsys_bert.objectives.next_item import next_item

FIRST = 4


def test_next_item_matches_a_plain_loop():
    random = np.random.default_rng(0)
    lengths = random.integers(2, 9, 30)
    items = random.integers(2, 12, (30, 8)).astype(np.int32)  # rows 2 and 3 are unknown items
    items[np.arange(8) >= lengths[:, None]] = 0
    batch = next_item(items, lengths, FIRST)
    expected = []
    for row in range(30):
        assert batch["tokens"][row, : lengths[row] - 1].tolist() == items[row, : lengths[row] - 1].tolist()
        assert not batch["tokens"][row, lengths[row] - 1 :].any()
        for position in range(lengths[row] - 1):
            if items[row, position + 1] >= FIRST:
                expected.append((row * 7 + position, items[row, position + 1]))
    assert list(zip(batch["positions"], batch["targets"], strict=True)) == expected
    assert batch["n_targets"] == len(expected)


def test_next_items_are_predicted_at_the_time_of_the_event_before():
    items = np.array([[5, 6, 7, 8], [9, 5, 0, 0]], np.int32)
    times = np.array([[10, 20, 30, 40], [15, 25, 0, 0]])
    batch = next_item(items, np.array([4, 2]), FIRST, times)
    assert batch["times"].shape == batch["tokens"].shape
    at = batch["times"].reshape(-1)[batch["positions"]]
    assert list(zip(at, batch["targets"], strict=True)) == [(10, 6), (20, 7), (30, 8), (15, 5)]
    assert share(batch, 1, 2)["times"].tolist() == [[15, 25, 0]]
