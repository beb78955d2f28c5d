"""A vocabulary that grows from another one: rows stay, what is new follows, and the growth is proved."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import prepare

FEATURES = {"item_features": {"categorical": ["kind"], "multi": ["tags"]}, "user_features": {"categorical": ["age"]}}


def random_log(seed, n_users, n_items, n_events, text=False):
    random = np.random.default_rng(seed)
    users, items = random.integers(0, n_users, n_events), random.geometric(0.1, n_events) % n_items
    names = ("user {}", "item {}") if text else ("{}", "{}")
    frame = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": random.integers(0, 10**6, n_events)})
    if not text:
        return frame
    columns = zip(names, ("user_id", "item_id"), strict=True)
    return frame.with_columns(pl.format(name, column).alias(column) for name, column in columns)


def side_tables(n_items, n_users, kinds=5):
    items = {"item_id": range(n_items), "kind": [f"kind {i % kinds}" for i in range(n_items)]}
    items["tags"] = [f"tag {i % 3}|tag {i % (kinds + 1)}" for i in range(n_items)]
    return {
        "items": pl.DataFrame(items),
        "users": pl.DataFrame({"user_id": range(n_users), "age": [f"age {i % 4}" for i in range(n_users)]}),
    }


@pytest.mark.parametrize("split", ["leave_one_out", "time", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_of_yesterday_stay_whatever_todays_log_holds(tmp_path, seed, split):
    random, text = np.random.default_rng(seed), seed % 2 == 1
    settings = {"split": {"kind": split}, "vocabulary": {"min_count": 1 + seed % 2, "unknown_rows": 1 + seed % 3}}
    old = prepare(random_log(seed, 20, 30, 150, text), out=tmp_path / "old", **settings)
    log = random_log(seed + 100, 30, 60, int(random.integers(60, 400)), text)
    fresh = prepare(log, out=tmp_path / "fresh", split={"kind": split})
    new = prepare(log, out=tmp_path / "new", split={"kind": split}, vocabulary={"of": old})
    first, size = old.vocabulary.first_item, old.vocabulary.size
    assert new.vocabulary.item_ids[:size].to_list() == old.vocabulary.item_ids.to_list()
    assert new.user_ids[: len(old.user_ids)].to_list() == old.user_ids.to_list()
    added = new.vocabulary.item_ids[size:]
    in_training = fresh.vocabulary.item_ids[fresh.vocabulary.first_item :]
    known = set(old.vocabulary.item_ids[first:])
    assert added.to_list() == [item for item in in_training if item not in known]  # by count, then id
    assert new.user_ids[len(old.user_ids) :].to_list() == sorted(set(fresh.user_ids) - set(old.user_ids))
    counts = dict(zip(new.vocabulary.item_ids, new.vocabulary.counts, strict=True))  # of today's log
    trained = zip(in_training, fresh.vocabulary.counts[fresh.vocabulary.first_item :], strict=True)
    assert all(counts[item] == n for item, n in trained)
    for user in fresh.user_ids:
        assert [item for item in new.history(user) if item is not None] == [
            item for item in log_history(log, user) if item in set(new.items["item_id"])
        ]
    growth = new.manifest.growth
    assert growth["items_without_events"] == len(known - set(log["item_id"]))
    assert growth["users_without_events"] == len(set(old.user_ids) - set(log["user_id"]))
    assert (growth["items_new"], growth["of"]) == (len(added), "old")
    known_part = new.known_to(old.fingerprint)
    assert known_part.fingerprint == old.fingerprint
    assert known_part.vocabulary.fingerprint == old.vocabulary.fingerprint


def log_history(log, user):
    return log.filter(pl.col("user_id") == user).sort("timestamp", maintain_order=True)["item_id"].to_list()


def test_feature_values_keep_their_codes_and_new_ones_follow(tmp_path):
    old = prepare(random_log(0, 20, 30, 300), **side_tables(30, 20), **FEATURES, out=tmp_path / "old")
    new = prepare(
        random_log(1, 40, 60, 600),
        **side_tables(60, 40, kinds=9),
        **FEATURES,
        vocabulary={"of": old},
        out=tmp_path / "new",
    )
    for role in ("items", "users"):
        for name, values in old.feature_values[role].items():
            assert new.feature_values[role][name][: len(values)].to_list() == values.to_list()
    assert new.item_feature_sizes["kind"] == 2 + 9
    view = new.known_to(old.fingerprint)
    assert view.feature_values["items"]["kind"].to_list() == old.feature_values["items"]["kind"].to_list()
    late = new.item_features["kind"][:, 0] >= old.item_feature_sizes["kind"]
    assert late.any()
    assert (view.item_features["kind"][late] == 1).all()  # as any value that training did not know
    assert (view.item_features["kind"][~late] == new.item_features["kind"][~late]).all()
    assert view.item_feature_sizes == old.item_feature_sizes
    assert view.n_new_items == new.vocabulary.size - old.vocabulary.size > 0
    with pytest.raises(InputError, match="has the feature 'kind' of items, which this log lacks"):
        prepare(random_log(1, 40, 60, 600), vocabulary={"of": old}, out=tmp_path / "lost")


def test_it_grows_again_and_again_and_from_runs_of_any_day(tmp_path):
    days = [prepare(random_log(0, 10, 10, 80), out=tmp_path / "day0")]
    for day in range(1, 4):
        days.append(
            prepare(random_log(day, 10, 10 + 10 * day, 150), vocabulary={"of": days[-1]}, out=tmp_path / f"day{day}")
        )
    assert [state.folder for state in days[3].states] == ["day0", "day1", "day2", "day3"]
    for old in days[:3]:
        assert days[3].known_to(old.fingerprint).vocabulary.size == old.vocabulary.size
    run = tmp_path / "run" / "encoder"
    run.mkdir(parents=True)
    days[2].known_to(days[1].fingerprint).save_vocabulary(run)
    again = prepare(random_log(9, 10, 50, 200), vocabulary={"of": run.parent}, out=tmp_path / "again")
    assert again.vocabulary.item_ids[: days[1].vocabulary.size].to_list() == days[1].vocabulary.item_ids.to_list()
    assert again.known_to(days[0].fingerprint).vocabulary.size == days[0].vocabulary.size
    with pytest.raises(InputError, match=r"did not grow from it.*--vocabulary\.of"):
        again.known_to(days[2].fingerprint)  # a sister


def test_a_log_without_anything_new_has_the_same_vocabulary(tmp_path):
    old = prepare(random_log(0, 10, 10, 100), out=tmp_path / "old", split={"kind": "none"})
    log = pl.concat([random_log(0, 10, 10, 100), random_log(1, 10, 10, 50)])
    new = prepare(log, out=tmp_path / "new", split={"kind": "none"}, vocabulary={"of": old})
    assert new.fingerprint == old.fingerprint
    assert new.known_to(old.fingerprint) is new
    assert len(new.states) == 1


def test_a_manifest_that_claims_another_origin_is_not_believed(tmp_path):
    old = prepare(random_log(0, 10, 10, 100), out=tmp_path / "old")
    new = prepare(random_log(1, 10, 30, 100), out=tmp_path / "new", vocabulary={"of": old})
    states = [{**new.manifest.growth["states"][0], "fingerprint": "0123456789abcdef"}]
    claims = replace(new, manifest=replace(new.manifest, growth={**new.manifest.growth, "states": states}))
    with pytest.raises(InputError, match="did not grow"):
        claims.known_to("0123456789abcdef")


def test_what_cannot_grow_is_refused(tmp_path):
    old = prepare(random_log(0, 10, 10, 100), out=tmp_path / "old")
    with pytest.raises(
        InputError, match=r"item ids of .*old are integers, those of this log text. Pass --log.ids integer"
    ):
        prepare(random_log(0, 10, 10, 100, text=True), vocabulary={"of": old}, out=tmp_path / "new")
    with pytest.raises(InputError, match="neither a prepared folder nor a run"):
        prepare(random_log(0, 10, 10, 100), vocabulary={"of": tmp_path}, out=tmp_path / "new")
    with pytest.raises(InputError, match="is not a folder"):
        prepare(random_log(0, 10, 10, 100), vocabulary={"of": tmp_path / "nowhere"}, out=tmp_path / "new")
    with pytest.raises(InputError, match=r"unknown_rows comes from vocabulary\.of"):
        prepare(random_log(0, 10, 10, 100), vocabulary={"of": old, "unknown_rows": 3}, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unknown_feature_table_of_another_kind_is_refused(tmp_path):
    old = prepare(random_log(0, 20, 30, 300), **side_tables(30, 20), **FEATURES, out=tmp_path / "old")
    other = {**FEATURES, "item_features": {"multi": ["kind", "tags"]}}
    with pytest.raises(InputError, match=r"'kind' of items is in item_features.categorical of"):
        prepare(random_log(1, 20, 30, 300), **side_tables(30, 20), **other, vocabulary={"of": old})
