"""Every setting of prepare, changed once: another folder, or a refusal."""

import hashlib
import os

import numpy as np
import polars as pl
import pytest
from contracts.settings_contract import (
    Outcome,
    Runs,
    SettingsContract,
    check_change,
    check_effects,
    check_exempt,
    flat,
    hash_files,
    parametrize,
)

from recsys_bert.stages.prepare import PrepareConfig, prepare

SIDES = {"items": "items", "users": "users"}
FEATURES_ONLY = {
    "item_features.multi": ["tags"],
    "item_features.categorical": ["kind"],
    "user_features.multi": ["tags"],
}
ROLES = ("item", "user")
DENSE = {f"{role}_features.numeric": ["price"] for role in ROLES}
BROKEN = {
    f"{role}_features.{n}": value
    for role in ROLES
    for n, value in (("numeric", ["broken"]), ("bad_numbers", "missing"))
}
FEATURES = {**SIDES, **FEATURES_ONLY}
INTEGERS = {
    "log.ids": ("integer",),
    "log.time_unit": ("s",),
    "log.bad_rows": ("drop",),
    "log.missing": (["soon"],),
    "log.quote": ("none",),
}
TABLES = {
    f"{table}.{name}": value
    for table in ("item_table", "user_table")
    for name, value in (("bad_rows", ("drop",)), ("quote", ("none",)))
}
CONTRACT = SettingsContract(
    PrepareConfig,
    bases={  # "events", "items" and "users" are arguments: a frame's name or a file's
        "frame": {"events": "log", **FEATURES},
        "csv": {"events": "log.csv"},
        "text_ids": {"events": "text_ids.csv"},
        "parquet": {"events": "log.parquet"},
        "lines": {"events": "log.txt"},
        "dates": {"events": "log.csv", "log.time": "date"},
        "datetimes": {"events": "log", "log.time": "datetime"},
        "no_time": {"events": "log", "log.time": "None"},
        "bad_rows": {"events": "bad.csv", "log.bad_rows": "drop"},
        "quoted": {"events": "quoted.csv"},
        "german": {"events": "german.csv", "log.time_format": "%d.%m.%Y %H:%M:%S"},
        "lists": {"events": "lists.csv", "log.time": "None", "log.list_separator": " "},
        "tables": {"events": "log", "items": "items.csv", "users": "users.csv", **FEATURES_ONLY},
        "event": {"events": "log", "log.event": "event"},
        "events": {"events": "log", "log.event": "event", "log.events": {"click": 1.0, "view": 0.5}},
        "weight": {"events": "log", "log.weight": "rating"},
        "no_multi": {"events": "log", **SIDES, "item_features.categorical": ["kind"]},
        "no_features": {"events": "log", **SIDES},
        "dense": {"events": "log", **SIDES, **DENSE},
        "broken": {"events": "log", **SIDES, **BROKEN},
        "no_tables": {"events": "log"},
        "time": {"events": "log", "split.kind": "time"},
        "refit": {"events": "log", "split.kind": "time", "split.validation": False},
        "no_split": {"events": "log", "split.kind": "none"},
        "own": {"log.train": "train.csv", "log.validation": "validation.csv", "log.test": "test.csv"},
    },
    only={
        **dict.fromkeys(("csv", "text_ids", "parquet", "lines", "dates", "datetimes", "no_time"), ("log.",)),
        **dict.fromkeys(("bad_rows", "event", "events", "weight", "quoted", "german", "lists"), ("log.",)),
        "tables": ("item_table.", "user_table."),
        **dict.fromkeys(("no_multi", "no_features"), ("item_features.", "user_features.")),
        "dense": tuple(f"{role}_features.{name}" for role in ROLES for name in ("numeric", "vectors", "bad_numbers")),
        "broken": tuple(f"{role}_features.bad_numbers" for role in ROLES),
        "no_tables": ("item_", "user_"),
        **dict.fromkeys(("time", "refit", "no_split"), ("split.", "filters.", "vocabulary.")),
        "own": ("split.", "filters.", "vocabulary.", "log.train", "log.validation", "log.test"),
    },
    values={
        "log.user": ["other_user"],
        "log.format": ["parquet", "lines"],
        "log.preset": ["u.data"],
        **{f"{table}.format": ["parquet"] for table in ("item_table", "user_table")},
        "log.separator": [";"],
        "log.columns": [["user_id", "item_id", "other"]],
        "log.encoding": ["utf-16"],
        "log.quote": ["none"],
        "log.missing": [["soon"]],
        "log.time_format": ["%Y"],
        "log.list_separator": ["1"],
        **{f"{table}.separator": [";"] for table in ("item_table", "user_table")},
        **{f"{table}.columns": [["item_id", "tags", "kind"]] for table in ("item_table", "user_table")},
        **{f"{table}.encoding": ["utf-16"] for table in ("item_table", "user_table")},
        **{f"{table}.quote": ["none"] for table in ("item_table", "user_table")},
        **{f"{table}.missing": [["b"]] for table in ("item_table", "user_table")},
        "log.item": ["other_item"],
        "log.time": ["other_time", "None"],
        "log.event": ["event"],
        "log.events": [{"click": 2.0, "view": 0.0}],
        "log.weight": ["rating"],
        "log.min_weight": [3.0],
        "item_features.id": ["other_id"],
        "item_features.categorical": [["color"]],
        "item_features.multi": [["words"]],
        "item_features.text": [["words"]],
        "item_features.separator": [","],
        "item_features.max_values": [1],
        **{f"{role}_features.numeric": [["year"]] for role in ("item", "user")},
        **{f"{role}_features.vectors": [["emb"]] for role in ("item", "user")},
        "user_features.id": ["other_id"],
        "user_features.categorical": [["age"]],
        "user_features.multi": [["words"]],
        "user_features.separator": [","],
        "user_features.max_values": [1],
        "filters.min_user_events": [9],
        "filters.min_item_events": [12],
        "split.validation_from": [0.6],
        "split.test_from": [0.95],
        "split.test_until": [0.97],
        "split.target_types": [["buy"]],
        "log.train": ["log.csv"],
        "log.validation": ["half.csv"],
        "log.test": ["half.csv"],
        "log.session_minutes": [20_000.0],
        "filters.repeats_within": [1e6],
        "split.min_events": [9],
        "split.hold_out_items": [0.2],
        "vocabulary.min_count": [9],
        "vocabulary.of": ["old"],
    },
    contexts={
        "filters.k_core": {"filters.min_user_events": 8, "filters.min_item_events": 8},
        "vocabulary.unknown_rows": {"vocabulary.min_count": 9},
        "split.target_types": {"log.event": "event"},
        "split.seed": {"split.hold_out_items": 0.2},
        "filters.repeats_within": {"filters.repeats": "first"},
    },
    detected={
        "dense": {
            f"{role}_features.{name}": (value,)
            for role in ROLES
            for name, value in (("numeric_as", "log"), ("bad_numbers", "missing"))  # skewed, and none is bad
        },
        "own": {"split.kind": ("own",)},  # its files say so
        **dict.fromkeys(("frame", "no_time", "dates", "datetimes", "event", "events", "weight"), INTEGERS),
        "csv": {**INTEGERS, "log.format": ("csv",)},
        "dates": {**INTEGERS, "log.format": ("csv",)},
        "text_ids": {**INTEGERS, "log.ids": ("text",), "log.format": ("csv",)},
        "parquet": {**INTEGERS, "log.format": ("parquet",)},
        "lines": {**INTEGERS, "log.format": ("lines",), "log.time": ("None",)},
        "bad_rows": {**{k: v for k, v in INTEGERS.items() if k != "log.missing"}, "log.format": ("csv",)},
        "quoted": {**{k: v for k, v in INTEGERS.items() if k != "log.quote"}, "log.format": ("csv",)},
        "german": {**INTEGERS, "log.format": ("csv",)},
        "lists": {**INTEGERS, "log.format": ("csv",)},
        "tables": {**TABLES, **dict.fromkeys(("item_table.format", "user_table.format"), ("csv",))},
    },
)
CHANGES = CONTRACT.changes()


def side_table(name, n, random):
    return pl.DataFrame(
        {
            f"{name}_id": range(n),
            "other_id": random.permutation(n),
            "kind": [f"kind {i % 5}" for i in range(n)],
            "color": random.choice(["red", "blue"], n),
            "age": random.choice(["old", "young"], n),
            "tags": random.choice(["a|b,c", "b", "", "c|a"], n),
            "words": random.choice(["x|y", "y", "z"], n),
            "price": random.lognormal(sigma=2, size=n),
            "year": random.integers(1990, 2020, n),
            "broken": ["$1", *map(str, range(n - 1))],
            "emb": random.normal(size=(n, 2)).tolist(),
        }
    )


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(0)
    n = 400
    times = 1_700_000_000 + np.sort(random.integers(0, 10**7, n))
    log = pl.DataFrame(
        {
            "user_id": random.integers(0, 40, n),
            "item_id": random.geometric(0.08, n).clip(max=30) - 1,
            "timestamp": times,
            "other_user": random.integers(0, 40, n),
            "other_item": random.integers(0, 30, n),
            "other_time": random.permutation(times),
            "event": random.choice(["click", "view", "buy"], n),
            "rating": random.integers(1, 6, n),
        }
    )
    datetime = pl.from_epoch("timestamp")
    log = log.with_columns(datetime.alias("datetime"), datetime.dt.strftime("%Y-%m-%d %H:%M:%S").alias("date"))
    return {"log": log, "items": side_table("item", 30, random), "users": side_table("user", 40, random)}


@pytest.fixture(scope="module", autouse=True)
def files(frames, tmp_path_factory):
    """Logs in the working directory, and a folder that was prepared from the first events of one."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("logs"))
    log = frames["log"]
    log.write_csv("log.csv")
    for name, start, n in (("train", 0, 200), ("validation", 200, 100), ("test", 300, 100), ("half", 300, 50)):
        log.slice(start, n).write_csv(f"{name}.csv")
    log.write_parquet("log.parquet")
    prepare(log.head(50), out="old")
    broken = log["timestamp"].cast(pl.String).to_list()
    log.with_columns(pl.Series("timestamp", ["soon", *broken[1:]])).write_csv("bad.csv")
    log.with_columns(
        pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id")
    ).write_csv("text_ids.csv")
    with open("quoted.csv", "w") as file:
        file.writelines(
            [",".join(log.columns) + "\n", *(",".join(f'"{cell}"' for cell in row) + "\n" for row in log.rows())]
        )
    log.with_columns(pl.col("datetime").dt.strftime("%d.%m.%Y %H:%M:%S").alias("timestamp")).write_csv("german.csv")
    log.group_by("user_id", maintain_order=True).agg(pl.col("item_id").cast(pl.String)).with_columns(
        pl.col("item_id").list.join(" ")
    ).write_csv("lists.csv")
    for name in ("items", "users"):
        frames[name].drop("emb").write_csv(f"{name}.csv")
    histories = log.group_by("user_id", maintain_order=True).agg("item_id").rows()
    with open("log.txt", "w") as file:
        file.writelines(f"{user} {' '.join(map(str, items))}\n" for user, items in histories)
    yield
    os.chdir(here)


@pytest.fixture(scope="module")
def runs(frames, tmp_path_factory):
    def train(settings):
        arguments = {name: settings.pop(name) for name in ("events", "items", "users") if name in settings}
        tables = {name: frames.get(value, value) for name, value in arguments.items()}
        folder = tmp_path_factory.mktemp("run") / "data"
        manifest = prepare(**tables, out=folder, **settings).manifest.as_dict()
        config = flat(manifest.pop("config"), PrepareConfig)
        repeats = ("manifest.json", "checksums.sha256")  # both hold or cover the settings themselves
        contents = [file for file in folder.rglob("*") if file.is_file() and file.name not in repeats]
        names = hashlib.sha256(" ".join(sorted(file.name for file in contents)).encode()).hexdigest()
        return Outcome(hash_files(*contents) + names, manifest, config)

    return Runs(CONTRACT, train)


@parametrize(CHANGES)
def test_a_changed_setting_changes_the_folder_or_is_refused(runs, change):
    check_change(runs, change)


@pytest.mark.parametrize("base", CONTRACT.bases)
def test_the_same_settings_give_the_same_folder(runs, base):
    assert Runs(CONTRACT, runs.train).of(CONTRACT.bases[base]) == runs.of(CONTRACT.bases[base])


def test_every_setting_has_an_effect_in_some_run(runs):
    # a file of one format cannot be read as another one; bad rows are refused, where they are not dropped
    # nor read by another separator, under other columns or in another encoding
    text = ("format", "separator", "columns", "encoding")
    tables = [f"{table}.{name}" for table in ("item_table", "user_table") for name in (*text, "quote", "bad_rows")]
    logs = [f"log.{name}" for name in (*text, "bad_rows", "quote", "time_format", "preset")]
    numbers = [f"{role}_features.bad_numbers" for role in ROLES]  # bad ones are refused
    check_effects(runs, CHANGES, {*logs, *tables, *numbers})


def test_settings_of_the_contract_exist():
    check_exempt(CONTRACT)
