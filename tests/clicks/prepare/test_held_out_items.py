"""Items held out from training, against plain loops over the events."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.prepare import events as module
from recsys_bert.errors import InputError
from recsys_bert.stages.append import append
from recsys_bert.stages.prepare import prepare

ITEMS = pl.DataFrame({"item_id": range(25), "kind": [f"kind {i % 3}" for i in range(25)]})  # of 30 items


@pytest.fixture(scope="module")
def log():
    random = np.random.default_rng(0)
    rows = {"user_id": random.integers(0, 40, 400), "item_id": random.integers(0, 30, 400)}
    return pl.DataFrame({**rows, "timestamp": np.arange(400) * 1000})


def parts_by_hand(log, kind):
    """Per user: training, validation and test item ids."""
    parts = {}
    for user, items, times in log.group_by("user_id", maintain_order=True).agg("item_id", "timestamp").rows():
        n = len(items)
        ends = (n - 2, n - 1) if n >= 3 else (n, n)
        if kind == "time":
            order = np.sort(log["timestamp"].to_numpy())
            ends = tuple(int(np.searchsorted(times, order[int(share * len(log))])) for share in (0.8, 0.9))
        parts[user] = items[: ends[0]], items[ends[0] : ends[1]], items[ends[1] :]
    return parts


@pytest.mark.parametrize("kind", ["leave_one_out", "time"])
def test_held_out_items_are_never_trained_on_and_stay_targets(log, kind, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 50)
    dataset = prepare(
        log, items=ITEMS, item_features={"categorical": ["kind"]}, split={"kind": kind, "hold_out_items": 0.2}
    )
    parts = parts_by_hand(log, kind)
    trained = {item for items, *_ in parts.values() for item in items}
    cold = dataset.items.filter(pl.col("item_row") >= dataset.vocabulary.size)["item_id"].to_list()
    held_out = set(cold) & trained
    split = dataset.manifest.split
    assert len(held_out) == round(0.2 * len(trained)) == split["held_out_items"]
    assert split["of_training_items"] == len(trained)
    assert held_out <= set(range(25))
    n_dropped = sum(item in held_out for items, *_ in parts.values() for item in items)
    entry = dataset.manifest.filters[-1]
    assert (entry["filter"], entry["reasons"]) == ("hold_out_items", {"training events on held-out items": n_dropped})
    assert entry["events_out"] == len(log) - n_dropped == len(dataset.histories.items)
    data, known = dataset.histories, dict(zip(dataset.user_ids, range(len(dataset.user_ids)), strict=True))
    for user, (train, validation, test) in parts.items():
        train = [item for item in train if item not in held_out]
        if not train + validation + test:
            assert user not in known
            continue
        row = known[user]
        start, stop = data.offsets[row : row + 2]
        ids = dataset.rows([*train, *validation, *test]).tolist()
        assert data.items[start:stop].tolist() == ids
        assert data.train_end[row] == start + len(train)
        assert data.validation_end[row] == start + len(train) + len(validation)
    if kind == "leave_one_out":
        short = [user for user, (train, *rest) in parts.items() if not rest[1] and not held_out.issuperset(train)]
        assert split["users_for_training_only"] == len(short)


def test_the_seed_draws_and_the_same_seed_draws_the_same(log):
    def cold(seed):
        return prepare(log, items=ITEMS, split={"hold_out_items": 0.3, "seed": seed}).items["item_id"].to_list()[-10:]

    assert cold(1) == cold(1) != cold(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": {"hold_out_items": 0.2}}, "needs a table of items"),
        ({"items": ITEMS, "split": {"hold_out_items": 0.9}}, "27 of 30 items .* 25 of them are in the table"),
        ({"items": ITEMS, "split": {"hold_out_items": 0.001}}, "0 of 30 items"),
        ({"items": ITEMS, "split": {"hold_out_items": 1.0}}, r"must lie in \[0, 1\)"),
        ({"items": ITEMS, "split": {"hold_out_items": 0.1, "kind": "none"}}, "has no effect with split.kind 'none'"),
        ({"items": ITEMS, "split": {"seed": 3}}, "only split.hold_out_items draws by it"),
    ],
)
def test_shares_that_cannot_be_drawn_are_refused(log, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(log, **settings)


def test_a_log_without_some_of_its_events_takes_no_more(log):
    dataset = prepare(log, items=ITEMS, split={"hold_out_items": 0.1})
    with pytest.raises(InputError, match=r"split\.hold_out_items 0\.1: training events of these items were dropped"):
        append(dataset, log.head(3))
