"""Splits of one's own: parts as files and frames, what leaks, folders that look like one; leave-one-out by type."""

import numpy as np
import polars as pl
import pytest

from pipelines import prepare as command
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.prepare import prepare

COLUMNS = ["user_id", "item_id", "timestamp"]


def frame(rows, columns=COLUMNS):
    return pl.DataFrame(rows, schema=columns, orient="row")


def random_parts(seed=0):
    """600 events over 30 users, thrown into the parts at random; no event is in two."""
    random = np.random.default_rng(seed)
    log = frame(
        [(int(random.integers(0, 30)), int(random.integers(0, 20)), 1_700_000_000 + 60 * n) for n in range(600)]
    )
    part = random.choice(["train", "validation", "test"], 600, p=[0.7, 0.15, 0.15])
    return {name: log.filter(pl.Series(part == name)) for name in ("train", "validation", "test")}


def check(dataset, parts):
    data = dataset.histories
    for user in dataset.user_ids:
        (row,) = dataset.user_rows([user])
        borders = [data.offsets[row], data.train_end[row], data.validation_end[row], data.offsets[row + 1]]
        for number, name in enumerate(("train", "validation", "test")):
            times = data.times[borders[number] : borders[number + 1]].tolist()
            expected = parts[name].filter(pl.col("user_id") == user).sort("timestamp")["timestamp"].to_list()
            assert times == expected, (user, name)


def test_frames_and_files_stay_in_their_parts(tmp_path):
    parts = random_parts()
    dataset = prepare(log=parts)
    check(dataset, parts)
    for name, part in parts.items():
        part.write_csv(tmp_path / f"{name}.csv")
    files = prepare(log={name: str(tmp_path / f"{name}.csv") for name in parts}, out=tmp_path / "data")
    assert files.fingerprint == dataset.fingerprint
    assert (files.histories.items == dataset.histories.items).all()
    split = files.manifest.split
    assert (split["kind"], split["validation"]) == ("own", True)
    assert [entry["name"] for entry in files.manifest.log["files"]] == ["train.csv", "validation.csv", "test.csv"]
    assert files.manifest.log["rows"] == 600
    counts = np.bincount(parts["train"]["item_id"].to_numpy(), minlength=20)
    rows = files.rows(list(range(20)))
    assert files.vocabulary.counts[rows].tolist() == counts.tolist()
    results = evaluate([], files, baselines=["popular"], indexes=[], ks=[5]).results
    assert "own · test" in results["protocol"]["line"]


def test_the_command_reads_its_parts_and_resolves_the_split(tmp_path):
    parts = random_parts()
    for name, part in parts.items():
        part.write_parquet(tmp_path / f"{name}.parquet")
    log = command.Config(out=tmp_path / "out").log
    log = type(log)(**{name: str(tmp_path / f"{name}.parquet") for name in ("train", "test")})
    manifest = command.run(command.Config(out=tmp_path / "out", log=log))
    assert manifest["config"]["split"]["kind"] == "own"
    assert manifest["counts"]["training_events"] == len(parts["train"])
    assert manifest["counts"]["validation_events"] == 0


def test_refit_trains_on_the_validation_events_too():
    parts = random_parts()
    dataset = prepare(log=parts, split={"validation": False})
    assert dataset.manifest.counts["training_events"] == len(parts["train"]) + len(parts["validation"])
    with pytest.raises(InputError, match=r"split\.validation is off, but there is no log\.validation"):
        prepare(log={"train": parts["train"], "test": parts["test"]}, split={"validation": False})


def test_leaks_are_counted_against_a_plain_loop_and_events_held_out_too_are_dropped(capsys):
    parts = random_parts(3)
    both = parts["test"].head(7)
    leaking = {**parts, "train": pl.concat([parts["train"], both]), "validation": parts["validation"].vstack(both[:2])}
    dataset = prepare(log=leaking)
    check(dataset, parts)
    events = {name: part.rows() for name, part in parts.items()}
    held_out = [row for name in ("validation", "test") for row in events[name]]
    first = {user: min(time for other, _, time in held_out if other == user) for user, _, _ in held_out}
    after = [row for row in events["train"] if row[0] in first and row[2] > first[row[0]]]
    assert dataset.manifest.split["leaks"] == {
        "training_events_held_out_too": 9,
        "training_events_after_a_held_out_one_of_their_user": len(after),
        "users_with_such_events": len({row[0] for row in after}),
        "training_events_after_the_first_test_event": sum(
            row[2] > min(time for _, _, time in events["test"]) for row in events["train"]
        ),
    }
    printed = capsys.readouterr().err
    assert "training events that are held out too: 9" in printed
    assert f"warning: {len(after):,} training events after a held out one of their user" in printed


def test_a_split_by_time_leaks_nothing(capsys):
    rows = [(user, (user + n) % 7, 1_700_000_000 + 3600 * n) for user in range(10) for n in range(8)]
    parts = {"train": frame([row for row in rows if row[2] < 1_700_000_000 + 3600 * 6])}
    parts["test"] = frame([row for row in rows if row[2] >= 1_700_000_000 + 3600 * 6])
    dataset = prepare(log=parts)
    assert not any(dataset.manifest.split["leaks"].values())
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "names", [("train.csv", "valid.csv", "test.csv"), ("ml.train.inter", "ml.test.inter"), ("a_train.csv", "a-dev.csv")]
)
def test_a_folder_of_parts_is_not_merged_in_silence(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("user_id,item_id,timestamp\n1,2,3\n")
    with pytest.raises(InputError, match="look like the parts of a split") as error:
        prepare(tmp_path)
    assert f"--log.train {tmp_path / names[0]}" in str(error.value)


def test_a_folder_of_other_files_and_a_glob_are_read_as_one_log(tmp_path):
    rows = [(user, n, 60 * n) for user in range(4) for n in range(4)]
    for name in ("train.csv", "test.csv"):
        frame(rows).write_csv(tmp_path / name)
    assert prepare(str(tmp_path / "*.csv"), filters={"repeats": "first"}).manifest.counts["events"] == 16
    (tmp_path / "test.csv").rename(tmp_path / "monday.csv")
    assert prepare(tmp_path, filters={"repeats": "first"}).manifest.counts["events"] == 16


@pytest.mark.parametrize(
    ("log", "settings", "message"),
    [
        ({"train": "a.csv"}, {}, r"log\.train is given, but log\.test is not"),
        ({"test": "a.csv"}, {}, r"log\.test is given, but log\.train is not"),
        ({"train": "a.csv", "test": "b.csv"}, {"split": {"kind": "time"}}, "are a split. Leave it out"),
        ({"train": "a.csv", "test": "b.csv"}, {"events": "c.csv"}, "events and log.train are both given"),
        ({}, {"split": {"kind": "own"}, "events": "c.csv"}, "split.kind 'own' is a split by files"),
        ({}, {}, "there are no events"),
    ],
)
def test_half_a_split_is_refused(log, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(settings.pop("events", None), log=log, **settings)


def test_parts_whose_ids_or_columns_differ_are_refused():
    one = frame([(user, n, 60 * n) for user in range(4) for n in range(4)])
    text = one.with_columns(pl.format("u{}", "user_id").alias("user_id"))
    with pytest.raises(InputError, match=r"user ids of log\.train are integers, those of log\.test text"):
        prepare(log={"train": one, "test": text})


def typed_log():
    random, rows = np.random.default_rng(0), []
    for user in range(40):
        for n in range(int(random.integers(2, 15))):
            kind = "buy" if random.random() < 0.3 else "view"
            rows.append((user, int(random.integers(0, 20)), 60 * n, kind))
    return frame(rows, [*COLUMNS, "event"])


@pytest.mark.parametrize("validation", [True, False])
def test_leave_one_out_by_type_holds_out_the_last_purchases(validation):
    """Against a plain loop: the last purchase and all that follows, the one before it likewise."""
    log = typed_log()
    split = {"target_types": ["buy"], "validation": validation}
    dataset = prepare(log, log={"event": "event"}, split=split)
    data, n_tested = dataset.histories, 0
    for user in dataset.user_ids:
        events = log.filter(pl.col("user_id") == user)["event"].to_list()
        buys = [at for at, kind in enumerate(events) if kind == "buy"]
        tested = len(events) >= 3 and len(buys) > 1 and buys[-2] > 0
        n_tested += tested
        borders = (buys[-2] if validation else buys[-1], buys[-1]) if tested else (len(events),) * 2
        (row,) = dataset.user_rows([user])
        start = data.offsets[row]
        assert (data.train_end[row] - start, data.validation_end[row] - start) == borders
    queries = Queries.of(dataset, target_types=["buy"])
    assert len(queries) == n_tested == len(queries.targets()[0])
    assert dataset.manifest.split["users_for_training_only"] == 40 - n_tested
    with pytest.raises(InputError, match=r"split\.target_types has 'rent'; event types of the log are 'buy', 'view'"):
        prepare(log, log={"event": "event"}, split={"target_types": ["rent"]})
    with pytest.raises(InputError, match="none: name their column"):
        prepare(log, split={"target_types": ["buy"]})


def test_events_after_the_end_of_the_test_are_dropped():
    rows = [(user, (user + n) % 7, 86_400 * n) for user in range(10) for n in range(10)]
    split = {"kind": "time", "validation": False, "test_from": "1970-01-06", "test_until": "1970-01-08"}
    dataset = prepare(frame(rows), split=split)
    assert sorted(set(dataset.histories.times.tolist())) == [86_400 * n for n in range(7)]
    assert dataset.manifest.filters[1] == {
        "filter": "test_until",
        "events_in": 100,
        "events_out": 70,
        "users_in": 10,
        "users_out": 10,
        "reasons": {"events after the test": 30},
    }
    with pytest.raises(InputError, match="test ends at 1970-01-05T00:00:00, not after its start"):
        prepare(frame(rows), split={**split, "test_until": "1970-01-05"})
