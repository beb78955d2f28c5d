from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.histories import Histories
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig, FeaturesConfig
from recsys_bert.ctr.data import CTRBatches, encode, events_before, user_rows
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.impressions import Impressions, read_impressions
from recsys_bert.ctr.layout import Layout
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.side import side_fields
from recsys_bert.errors import InputError

COLUMNS = ColumnsConfig(user="user_id", item="item_id", time="timestamp", label="rating >= 4")
CONFIG = CTRConfig(columns=COLUMNS).resolved(True)


@pytest.fixture
def histories():
    items = np.array([7, 8, 9, 7, 5, 6], np.int32)
    times = np.array([10, 20, 20, 30, 15, 25])
    offsets = np.array([0, 4, 4, 6])
    return Histories(items, times, None, offsets, offsets[1:], offsets[1:])


def test_only_events_strictly_before_are_history(histories):
    users = np.array([0, 0, 0, 0, 1, 2, 2, -1])
    times = np.array([10, 20, 21, 99, 99, 15, 16, 99])
    start, stop = events_before(histories, users, times)
    seen = [histories.items[a:b].tolist() for a, b in zip(start, stop, strict=True)]
    assert seen == [[], [7], [7, 8, 9], [7, 8, 9, 7], [], [], [5], []]


@pytest.fixture
def encoded(dataset, impressions):
    impressions = read_impressions(impressions, COLUMNS, ["device"])
    features = Features.fit(impressions.frame, FeaturesConfig(categorical=("device",)), ["user_id"])
    layout = Layout((*features.layout.fields, *side_fields(dataset, FeaturesConfig())))
    return impressions, features, layout, encode(impressions, CONFIG, features, layout, dataset)


def test_every_history_is_that_of_the_log_before_the_impression(click_log, dataset, encoded):
    impressions, _, _, data = encoded
    batch = data.batch(slice(None), 5)
    for row, (user, timestamp) in enumerate(zip(impressions.frame["user_id"], impressions.times, strict=True)):
        past = click_log.filter((pl.col("user_id") == user) & (pl.col("timestamp") < timestamp))
        expected = dataset.rows(past.sort("timestamp", maintain_order=True)["item_id"])[-5:]
        rows = batch["history"][row]
        assert rows[rows > 0].tolist() == expected.tolist()
        assert not rows[len(expected) :].any()
    assert data.counts["impressions without history"] == int((batch["history"][:, 0] == 0).sum()) > 0


def test_times_are_those_of_the_history(dataset, encoded):
    data = replace(encoded[3], timed=True)
    batch = data.batch(slice(None), 5)
    for row, (start, stop) in enumerate(zip(data.start, data.stop, strict=True)):
        expected = dataset.histories.times[max(start, stop - 5) : stop]
        assert batch["times"][row, : len(expected)].tolist() == expected.tolist()
        assert not batch["times"][row, len(expected) :].any()
    assert "times" not in encoded[3].batch(slice(None), 5)
    assert "times" not in replace(data, pooled=np.zeros((len(data), 4), np.float32)).batch(slice(None), 5)


def test_later_events_change_no_history(dataset, encoded):
    impressions, features, layout, data = encoded
    timestamp = int(np.median(impressions.times))
    early = impressions.where(impressions.times <= timestamp)
    items = dataset.histories.items.copy()
    items[dataset.histories.times >= timestamp] = 3
    changed = replace(dataset, histories=replace(dataset.histories, items=items))
    before = encode(early, CONFIG, features, layout, dataset).batch(slice(None), 50)
    after = encode(early, CONFIG, features, layout, changed).batch(slice(None), 50)
    np.testing.assert_array_equal(before["history"], after["history"])
    late = encode(impressions, CONFIG, features, layout, changed).batch(slice(None), 50)
    assert (late["history"] != data.batch(slice(None), 50)["history"]).any()  # the change could have been seen


def test_side_features_stand_behind_the_columns(dataset, encoded):
    impressions, _, layout, data = encoded
    names = [field.name for field in layout.fields]
    assert sorted(names[2:]) == ["item.genre", "item.year", "user.age"]
    for field, offset in list(zip(layout.fields, layout.offsets, strict=True))[2:]:
        first = layout.column_fields.index(names.index(field.name))
        ids = data.ids[:, first : first + field.width]
        kind, name = field.name.split(".")
        for row in range(len(impressions)):
            if kind == "item":
                codes = dataset.item_features[name][data.targets[row]]
            else:
                user = user_rows(dataset, impressions.frame["user_id"][row : row + 1])[0]
                codes = dataset.user_features[name][user] if user >= 0 else np.zeros(field.width, np.int32)
            expected = [offset + code for code in codes if code] or [offset]
            assert [value for value in ids[row] if value] == expected


def test_unknown_users_and_cold_items_are_counted(dataset, encoded):
    impressions, _, _, data = encoded
    known = set(dataset.vocabulary.item_ids.drop_nulls())
    assert data.counts["impressions of items without training event"] == sum(
        item not in known for item in impressions.frame["item_id"]
    )
    assert user_rows(dataset, pl.Series([3, 12, 13])).tolist() == [3, -1, -1]


@pytest.mark.parametrize("users", [["b", None, "a", "", "b"], [2.0, None, 1.0, float("nan"), 2.0]])
def test_impressions_without_a_user_are_in_no_group(users):
    impressions = Impressions(pl.DataFrame({"user_id": users}), None, None)
    features = Features.fit(impressions.frame, FeaturesConfig(), ["user_id"])
    data = encode(impressions, CTRConfig(columns=ColumnsConfig(user="user_id")), features, features.layout, None)
    first, missing, second, empty, again = data.groups.tolist()
    assert (missing, empty, again) == (-1, -1, first)
    assert first > second > -1
    assert data.counts == {"user_id: missing": 2}


def test_ids_as_text_find_the_same_users(dataset):
    assert user_rows(dataset, pl.Series(["3", "12"])).tolist() == [3, -1]
    with pytest.raises(InputError, match="user ids of this log are integers"):
        user_rows(dataset, pl.Series(["ann"]))


def test_joining_needs_user_item_and_time(dataset, encoded):
    impressions, features, layout, _ = encoded
    for missing in ("user", "item"):
        with pytest.raises(InputError, match="joining a prepared log needs"):
            encode(impressions, replace(CONFIG, columns=replace(COLUMNS, **{missing: None})), features, layout, dataset)
    with pytest.raises(InputError, match=r"joining histories needs columns\.time"):
        encode(replace(impressions, times=None), CONFIG, features, layout, dataset)
    without = replace(CONFIG, model=CTRModelConfig(history_len=0))
    assert encode(replace(impressions, times=None), without, features, layout, dataset).histories is None
    timeless = replace(dataset, manifest=replace(dataset.manifest, has_times=False))
    with pytest.raises(InputError, match="has no times"):
        encode(impressions, CONFIG, features, layout, timeless)


def test_an_epoch_shows_every_impression_once_in_even_batches(encoded):
    data = encoded[3]
    data = replace(data, ids=np.arange(len(data), dtype=np.int32)[:, None])
    batches = CTRBatches(data, 133, 5, seed=4)
    epoch = [batch["ids"][:, 0] for batch in batches(2)]
    assert len(epoch) == batches.steps == 4
    assert {len(part) for part in epoch} == {100}
    assert sorted(np.concatenate(epoch)) == list(range(400))
    again = [batch["ids"][:, 0] for batch in batches(2, first_step=2)]
    assert all((a == b).all() for a, b in zip(epoch[2:], again, strict=True))
    assert (epoch[0] != next(batches(3))["ids"][:, 0]).any()
    shares = [next(batches(2, rank=rank, world=2))["ids"][:, 0] for rank in range(2)]
    assert sorted(np.concatenate(shares)) == sorted(epoch[0])


def test_processes_left_over_in_a_small_batch_count_for_nothing(encoded):
    data = encoded[3]
    batches = CTRBatches(data, batch_size=2, history_len=5)
    shares = [next(batches(0, rank=rank, world=3)) for rank in range(3)]
    assert [share["n_targets"] for share in shares] == [1, 1, 0]
    assert [len(share["ids"]) for share in shares] == [1, 1, 1]  # no mean over nothing


def test_a_join_of_nothing_is_a_warning(dataset, encoded, capsys):
    impressions, features, layout, _ = encoded
    assert "WARNING" not in capsys.readouterr().err
    strangers = replace(impressions, frame=impressions.frame.with_columns(pl.col("user_id") + 10**6))
    encode(strangers, CONFIG, features, layout, dataset)
    assert "WARNING: no user of the impressions (column 'user_id') is in" in capsys.readouterr().err
