"""Batches of like length, and how processes share them."""

import numpy as np
import pytest

from recsys_bert.bucketing import bucketed, epoch_batches, share
from recsys_bert.objectives.next_item import next_item

FIRST = 4


def test_every_example_is_in_one_batch_beside_others_of_its_length():
    lengths = np.random.default_rng(0).integers(1, 50, 1000)
    parts = bucketed(np.arange(100, 900), lengths, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(parts)) == list(range(100, 900))
    assert [len(part) for part in parts].count(16) == 50
    assert np.mean([np.ptp(lengths[part]) for part in parts]) < 5
    again = bucketed(np.arange(100, 900), lengths, 16, np.random.default_rng(1))
    assert all(np.array_equal(*pair) for pair in zip(parts, again, strict=True))


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    def make(members, random):
        return {"members": members.tolist(), "draw": random.random()}

    parts = [np.arange(3), np.arange(3, 6), np.arange(6, 8)]
    full = list(epoch_batches(parts, make, 5, 2))
    assert list(epoch_batches(parts, make, 5, 2, first_step=1)) == full[1:]
    assert len({batch["draw"] for batch in [*full, *epoch_batches(parts, make, 5, 3)]}) == 6


@pytest.fixture
def batch():
    """Seven histories, some positions of each predicted."""
    random = np.random.default_rng(1)
    items = random.integers(FIRST, 90, (7, 6)).astype(np.int32)
    own = random.random((7, 4)) < 0.5
    extra = {"users": np.arange(100, 107), "own": own, "negatives": np.arange(21).reshape(7, 3)}
    return next_item(items, np.full(7, 6), 30) | extra  # rows under 30 are no targets here


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_a_batch_without_gap_or_overlap(batch, world):
    triples = []
    for rank in range(world):
        part = share(batch, rank, world)
        np.testing.assert_array_equal(part["users"], batch["users"][rank::world])
        np.testing.assert_array_equal(part["tokens"], batch["tokens"][rank::world])
        np.testing.assert_array_equal(part["own"], batch["own"][rank::world])
        np.testing.assert_array_equal(part["negatives"], batch["negatives"][rank::world])
        assert part["n_targets"] == len(part["targets"]) == len(part["positions"])
        rows, columns = np.divmod(part["positions"], 5)
        triples += list(zip(part["users"][rows] - 100, columns, part["targets"], strict=True))
    rows, columns = np.divmod(batch["positions"], 5)
    assert sorted(triples) == sorted(zip(rows, columns, batch["targets"], strict=True))


def test_a_process_without_a_row_takes_part_and_counts_nothing(batch):
    small = share(batch, 0, 7)  # one row
    spare = share(small, 1, 2)
    np.testing.assert_array_equal(spare["tokens"], small["tokens"])
    np.testing.assert_array_equal(spare["targets"], small["targets"])
    assert spare["n_targets"] == 0
