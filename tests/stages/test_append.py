"""Appending equals preparing everything anew with the old vocabulary, and leaves the old folder where it fails."""

import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import recsys_bert as rb
from pipelines import append as command
from pipelines import prepare as prepare_command
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.errors import InputError
from recsys_bert.stages.append import append
from recsys_bert.stages.prepare import prepare

FEATURES = {"item_features": {"categorical": ["kind"], "multi": ["tags"]}, "user_features": {"categorical": ["age"]}}
FILES = ("histories.arrow", "vocabulary.parquet", "items.parquet", "users.parquet", "unknown_events.parquet")


def random_log(seed, start, n_users, n_items, n_events, text=False):
    random = np.random.default_rng(seed)
    columns = {"user_id": random.integers(0, n_users, n_events), "item_id": random.geometric(0.1, n_events) % n_items}
    frame = pl.DataFrame(columns | {"timestamp": start + random.integers(0, 1000, n_events)})
    types = ["view", "buy", "cart"] if start else ["view", "buy"]
    frame = frame.with_columns(
        weight=pl.Series(random.choice([1.0, 2.0], n_events)), event=pl.Series(random.choice(types, n_events))
    )
    return frame.with_columns(pl.format("i{}", "item_id").alias("item_id")) if text else frame


def tables(n_items, n_users, seed, text=False):
    random = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item_id": [f"i{n}" if text else n for n in range(n_items)],
            "kind": [random.choice(["a", "b", "c", "d", None]) for _ in range(n_items)],
            "tags": random.choice(["x|y", "y", "z|x", ""], n_items),
            "count": random.integers(0, 9, n_items),  # a name that the folder has, too
        }
    )
    return {
        "items": items,
        "users": pl.DataFrame({"user_id": range(n_users), "age": random.choice(["old", "young", "new"], n_users)}),
    }


def read(path):
    return pl.from_arrow(pa.ipc.open_file(path).read_all()) if path.suffix == ".arrow" else pl.read_parquet(path)


def check_same(one, other):
    for name in FILES:
        first, second = (read(dataset.folder / name) for dataset in (one, other))
        assert first.equals(second), name
    for role in ("item_features", "user_features"):
        features = getattr(one, role), getattr(other, role)
        assert features[0].keys() == features[1].keys()
        assert all(np.array_equal(features[0][name], features[1][name]) for name in features[0])
    assert one.feature_values["items"].keys() == other.feature_values["items"].keys()
    assert one.fingerprint == other.fingerprint
    for name in ("counts", "split", "cold", "features", "event_types", "weights"):
        assert getattr(one.manifest, name) == getattr(other.manifest, name), name


SPLITS = {
    "leave_one_out": {},
    "refit": {"split": {"kind": "leave_one_out", "validation": False}},
    "time": {"split": {"kind": "time"}},
    "dates": {"split": {"kind": "time", "validation_from": "1970-01-01T00:08:00", "test_from": "1970-01-01T00:14:00"}},
    "none": {"split": {"kind": "none"}},
}


@pytest.mark.parametrize("split", SPLITS)
def test_appending_equals_preparing_anew(tmp_path, split):
    for seed, options in enumerate(
        [
            {},
            {"vocabulary": {"min_count": 3, "unknown_rows": 2}},
            {"log": {"weight": "weight"}, "text": True},
            {"log": {"event": "event", "events": {"buy": 5.0, "view": 1.0, "cart": 2.0}}},
            {"log": {"time": None}} if split not in ("time", "dates") else {"filters": {"repeats": "consecutive"}},
        ]
    ):
        text, options = options.pop("text", False), {**options, **SPLITS[split]}
        old_log, today = random_log(seed, 0, 15, 30, 120, text), random_log(50 + seed, 1500, 25, 60, 90, text)
        old = prepare(old_log, out=tmp_path / "data", **options)
        anew = dict(options.get("vocabulary", {}))
        anew.pop("unknown_rows", None)
        expected = prepare(
            pl.concat([old_log, today]), out=tmp_path / "anew", **{**options, "vocabulary": {**anew, "of": old}}
        )
        grown = append(old, today)
        assert grown.folder == old.folder
        check_same(grown, expected)
        assert grown.known_to(old.fingerprint).vocabulary.size == old.vocabulary.size
        entries = (grown.manifest.filters, expected.manifest.filters)
        assert [one["events_out"] for one in entries[0]] == [one["events_out"] for one in entries[1]]
        assert [one["reasons"] for one in entries[0]] == [one["reasons"] for one in entries[1]]


def test_late_events_are_sorted_in(tmp_path, capsys):
    old_log, late = random_log(0, 500, 15, 30, 120), random_log(1, 0, 15, 40, 60)
    old = prepare(old_log, out=tmp_path / "data")
    expected = prepare(pl.concat([old_log, late]), out=tmp_path / "anew", vocabulary={"of": old})
    check_same(append(old, late), expected)
    assert "events are older than the last one of their user" in capsys.readouterr().err
    dropped = prepare(old_log, out=tmp_path / "dropped", filters={"repeats": "consecutive"})
    with pytest.raises(InputError, match=r"filters\.repeats 'consecutive'"):
        append(dropped, late)


@pytest.mark.parametrize("text", [False, True])
def test_side_tables_of_today_win_and_the_others_stay(tmp_path, text):
    old_log, today = random_log(0, 0, 15, 30, 150, text), random_log(1, 1500, 30, 60, 150, text)
    old_tables, new_tables = tables(40, 15, 0, text), tables(60, 30, 1, text)
    new_tables["items"] = new_tables["items"].filter(
        ~pl.col("item_id").is_in(old_tables["items"]["item_id"][5:20].to_list())
    )
    old = prepare(old_log, **old_tables, **FEATURES, out=tmp_path / "data")
    both = {
        name: pl.concat([new_tables[name], old_tables[name]]).unique(key, keep="first", maintain_order=True)
        for name, key in (("items", "item_id"), ("users", "user_id"))
    }
    events = pl.concat([old_log, today])
    expected = prepare(events, **both, **FEATURES, out=tmp_path / "anew", vocabulary={"of": old})
    out = append(old, today, **new_tables, out=tmp_path / "out")
    check_same(out, expected)
    without = append(old, today, out=tmp_path / "without")  # the old rows are kept
    kinds = old.items.select("item_id", "kind").join(without.items.select("item_id", again="kind"), on="item_id")
    assert kinds.height == old.items.height
    assert kinds["kind"].equals(kinds["again"].rename("kind"))
    assert old.manifest == rb.open_dataset(tmp_path / "data").manifest  # --out leaves it alone


def test_side_columns_called_like_those_of_the_other_table_are_kept(tmp_path):
    old_log, today = random_log(0, 0, 15, 30, 150), random_log(1, 1500, 15, 30, 50)
    side = {
        "items": pl.DataFrame({"item_id": range(40), "user_id": [f"maker{n % 3}" for n in range(40)]}),
        "users": pl.DataFrame({"user_id": range(15), "count": [f"c{n % 4}" for n in range(15)]}),
    }
    features = {"item_features": {"categorical": ["user_id"]}, "user_features": {"categorical": ["count"]}}
    old = prepare(old_log, **side, **features, out=tmp_path / "data")
    expected = prepare(pl.concat([old_log, today]), **side, **features, out=tmp_path / "anew", vocabulary={"of": old})
    check_same(append(old, today, out=tmp_path / "out"), expected)


def test_cold_items_without_a_value_stay_in_the_catalogue(tmp_path):
    old_log, today = random_log(0, 0, 15, 30, 150), random_log(1, 1500, 15, 30, 50)
    items = pl.DataFrame({"item_id": range(40), "kind": [None if n > 35 else f"k{n % 3}" for n in range(40)]})
    features = {"item_features": {"categorical": ["kind"]}}
    old = prepare(old_log, items=items, **features, out=tmp_path / "data")
    expected = prepare(
        pl.concat([old_log, today]), items=items, **features, out=tmp_path / "anew", vocabulary={"of": old}
    )
    out = append(old, today, out=tmp_path / "out")
    check_same(out, expected)
    assert 39 in out.items["item_id"]


def test_day_by_day_equals_all_days_at_once(tmp_path):
    days = [random_log(seed, 1500 * seed, 10 + 5 * seed, 20 + 10 * seed, 60) for seed in range(4)]
    dataset = prepare(days[0], out=tmp_path / "data", split={"kind": "time"})
    expected = dataset
    for day in range(1, 4):
        out = tmp_path / f"anew{day}"
        expected = prepare(pl.concat(days[: day + 1]), out=out, split={"kind": "time"}, vocabulary={"of": expected})
        dataset = append(dataset, days[day])
    check_same(dataset, expected)
    assert len(dataset.manifest.log["files"]) == 4
    assert dataset.manifest.log["rows"] == 240
    assert len(dataset.states) == len(expected.states)


@pytest.mark.parametrize("stop", ["writer.write_json", "side_writer.save_features"])
def test_killed_in_the_middle_it_leaves_the_old_folder(tmp_path, monkeypatch, stop):
    old = prepare(random_log(0, 0, 15, 30, 120), out=tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"recsys_bert.clicks.prepare.{stop}", killed)
    with pytest.raises(KeyboardInterrupt):
        append(old, random_log(1, 1500, 25, 60, 90))
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_killed_process_leaves_the_old_folder(tmp_path):
    old = prepare(random_log(0, 0, 15, 30, 120), out=tmp_path / "data")
    random_log(1, 1500, 25, 60, 90).write_csv(tmp_path / "today.csv")
    program = (
        "import os, sys; import recsys_bert as rb; from recsys_bert.clicks.prepare import writer\n"
        "writer.write_json = lambda *_: os.kill(os.getpid(), 9)\n"  # at the manifest, which comes last
        "rb.append(sys.argv[1], sys.argv[2])"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "data"), str(tmp_path / "today.csv")]
    assert subprocess.run(arguments, stderr=subprocess.DEVNULL, check=False).returncode == -9
    assert rb.open_dataset(tmp_path / "data").manifest == old.manifest
    assert append(old, tmp_path / "today.csv").manifest.counts["events"] == 210


def test_what_cannot_be_appended_is_refused_by_name(tmp_path):
    log, today = random_log(0, 0, 15, 30, 300), random_log(1, 1500, 25, 60, 90)
    for name in ("min_user_events", "min_item_events"):
        filtered = prepare(log, filters={name: 2}, out=tmp_path / name)
        with pytest.raises(InputError, match=rf"filters\.{name} 2"):
            append(filtered, today)
    own = prepare(log={"train": log, "test": today}, out=tmp_path / "own")
    with pytest.raises(InputError, match=r"split\.kind 'own'; append goes with leave_one_out, time, none"):
        append(own, today)
    cut = {"kind": "time", "validation": False, "test_from": 0.6, "test_until": 0.9}
    for settings, name in (
        ({"log": {"session_minutes": 1.0}, "split": {"kind": "none"}}, r"log\.session_minutes 1\.0"),
        ({"split": cut}, r"split\.test_until 0\.9"),
        ({"filters": {"repeats": "last"}}, r"filters\.repeats last"),
    ):
        with pytest.raises(InputError, match=name):
            append(prepare(log, **settings), today)
    rare = prepare(log, **tables(30, 15, 0), vocabulary={"min_count": 2}, out=tmp_path / "rare")
    with pytest.raises(InputError, match=r"vocabulary\.min_count 2 and a table of items"):
        append(rare, today)
    plain = prepare(log, out=tmp_path / "plain")
    with pytest.raises(InputError, match=r"item ids of .* are integers, those of this log text"):
        append(plain, today.with_columns(pl.format("i{}", "item_id").alias("item_id")))
    (tmp_path / "plain" / "unknown_events.parquet").unlink()
    with pytest.raises(InputError, match="an older version wrote it"):
        append(plain, today)


def test_the_command_and_formats(tmp_path):
    log, today = random_log(0, 0, 15, 30, 120, text=True), random_log(1, 1500, 25, 60, 90, text=True)
    log.write_parquet(tmp_path / "log.parquet")
    today.write_csv(tmp_path / "today.txt")
    log_config = LogConfig(format="parquet")
    prepare_command.run(
        prepare_command.Config(events=str(tmp_path / "log.parquet"), out=tmp_path / "data", log=log_config)
    )
    old = rb.open_dataset(tmp_path / "data")
    expected = prepare(pl.concat([log, today]), out=tmp_path / "anew", vocabulary={"of": old})
    config = command.Config(data=tmp_path / "data", events=str(tmp_path / "today.txt"), out=tmp_path / "out")
    with pytest.raises(InputError, match="parquet"):
        command.run(config)
    manifest = command.run(command.Config(**{**vars(config), "format": "csv"}))
    check_same(rb.open_dataset(tmp_path / "out"), expected)
    assert manifest["growth"]["items_new"] == expected.vocabulary.size - old.vocabulary.size


def test_a_log_in_memory_lives_as_long_as_what_was_appended_to_it():
    dataset = rb.append(rb.prepare(random_log(0, 0, 15, 30, 120)), random_log(1, 1500, 25, 60, 90))
    assert rb.open_dataset(dataset.folder).manifest.counts["events"] == 210
