"""The prepare command: what a user sees for good logs, for bad ones, and on public data."""

import fcntl
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.benchmarks.ml1m_known import convert
from pipelines.cli import main
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.queries import Queries

HEADER = "user_id,item_id,timestamp\n"
GOOD = HEADER + "".join(f"{user},{item},{item}\n" for user in range(4) for item in range(5))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_json_is_the_manifest_and_nothing_else_is_on_stdout(log, tmp_path, capsys):
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert "read 20 rows of log.csv" in printed.err
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "out"]  # nothing temporary stays


def test_a_recipe_and_flags_reach_the_log(log, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'events = "nowhere"\n[split]\nkind = "time"\ntest_from = 0.8\n[item_features]\nmulti = []\n', encoding="utf-8"
    )
    arguments = [
        "prepare",
        str(recipe),
        "--events",
        str(log),
        "--out",
        str(tmp_path / "out"),
        "--split.validation-from",
        "0.6",
    ]
    assert main(arguments) == 0
    manifest = open_dataset(tmp_path / "out").manifest
    assert (manifest.split["validation_from"], manifest.split["test_from"]) == (3, 4)
    assert manifest.config["split"]["validation_from"] == 0.6


def test_an_older_result_is_replaced_and_a_failed_run_leaves_it(log, tmp_path):
    out = tmp_path / "out"
    arguments = ["prepare", "--events", str(log), "--out", str(out)]
    assert main(arguments) == 0
    assert main([*arguments, "--split.no-validation"]) == 0
    before = (out / "manifest.json").read_bytes()
    assert json.loads(before)["split"]["validation"] is False
    log.write_text(GOOD + "1,2,never\n", encoding="utf-8")
    assert main(arguments) == 2
    assert (out / "manifest.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "out"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(log, tmp_path):
    mine, busy, other, named = (
        tmp_path / f".out.{name}.tmp" for name in ("ab12cd_9", "0123abcd", "and-more", "settings")
    )
    for folder in (mine, busy, other, named):
        folder.mkdir()
        (folder / ("work" if folder is not named else "notes.txt")).write_bytes(b"left")
    handle = os.open(busy, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as a process does that is at work
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out")]) == 0
    os.close(handle)
    assert sorted(os.listdir(tmp_path)) == [busy.name, other.name, named.name, "log.csv", "out"]


@pytest.mark.parametrize("on_ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_sigterm_leaves_nothing_temporary(log, tmp_path, monkeypatch, on_ctrl_c):
    def kill(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr("recsys_bert.clicks.prepare.filters.filter_events", kill)
    before = signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ["log.csv"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


BAD_LOGS = {
    "misnamed column": (
        "log.csv",
        b"user_id,item_id,ts\n1,2,3\n",
        "no column 'timestamp'; it has 'user_id', 'item_id', 'ts'",
    ),
    "header only": ("log.csv", HEADER.encode(), "the log is empty"),
    "no bytes": ("log.csv", b"", "the log is empty"),
    "no bytes, JSON lines": ("log.jsonl", b"", "the log is empty"),
    "unparsable time": ("log.csv", HEADER.encode() + b"1,2,soon\n1,2,3\n", "row 1 of log.csv: timestamp 'soon'"),
    "NaN time": ("log.csv", HEADER.encode() + b"1,2,3\n1,2,NaN\n1,3,4\n", "row 2 of log.csv: timestamp 'NaN'"),
    "mixed ids": ("log.csv", HEADER.encode() + b"1,2,3\n1,a,4\n", "such as 'a' beside integers such as 2"),
    "mixed ids, JSON": (
        "log.jsonl",
        b'{"user_id":1,"item_id":2,"timestamp":3}\n{"user_id":"x","item_id":2,"timestamp":4}\n',
        "1 user ids that are text, such as 'x' beside integers such as 1",
    ),
    "broken UTF-8": ("log.csv", HEADER.encode() + b"1,caf\xe9,3\n", "log.csv is not UTF-8"),
    "broken UTF-8, lines": ("log.txt", b"1 2 3 4\n2 \xff 4 5\n", "log.txt is not UTF-8"),
    "ragged": ("log.csv", HEADER.encode() + b"1,2,3,4,5\n", "too few or too many cells"),
    "half a line": ("log.jsonl", b'{"user_id":1,"item_id":2,"timestamp":3}\n{"user_id"', "log.jsonl cannot be read"),
    "not Parquet": ("log.parquet", b"PAR1 but not really", "log.parquet cannot be read"),
    "not gzip": ("log.csv.gz", b"user_id,item_id", "log.csv.gz"),
    "unknown ending": ("log.xyz", b"1 2 3", "the format of log.xyz does not show in the ending"),
    "too short histories": ("log.txt", b"1 2 3\n2 4\n", "no user has 3 events"),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_bad_logs_give_one_clear_message_and_no_artefact(tmp_path, capsys, name):
    file, content, message = BAD_LOGS[name]
    (tmp_path / file).write_bytes(content)
    assert main(["prepare", "--events", str(tmp_path / file), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert not printed.out
    assert os.listdir(tmp_path) == [file]


BAD_SETTINGS = {
    "no log": (["--events", ""], "there are no events: give events, or log.train and log.test"),
    "missing log": (["--events", "nowhere.csv"], "nowhere.csv names no file"),
    "all filtered out": (["--filters.min-user-events", "6"], "none of 20 events is left"),
    "side table missing": (["--items", "nowhere.csv"], "nowhere.csv names no file"),
    "no times": (["--log.time", "None", "--split.kind", "time"], "needs a time column"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings_give_one_clear_message_and_no_artefact(log, tmp_path, capsys, name):
    flags, message = BAD_SETTINGS[name]
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["log.csv"]


def test_a_folder_that_is_not_ours_is_not_replaced(log, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "photos")]) == 2
    assert "was not made by prepare" in capsys.readouterr().err
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


def test_a_link_stays_a_link(log, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    arguments = ["prepare", "--events", str(log), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert (tmp_path / "out").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["disk", "log.csv", "out"]
    assert (tmp_path / "disk" / "manifest.json").is_file()


@pytest.mark.parametrize(("first", "noted"), [("20240229", True), ("2024-02-29", False), ("1709164800", False)])
def test_days_that_were_read_as_seconds_are_noted(tmp_path, capsys, first, noted):
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "".join(f"1,{item},{first}\n" for item in range(5)))
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out")]) == 0
    assert ("all times lie before 1971" in capsys.readouterr().err) is noted


def test_what_was_put_into_a_prepared_folder_is_not_lost(log, tmp_path, capsys):
    arguments = ["prepare", "--events", str(log), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    (tmp_path / "out" / "runs").mkdir()
    capsys.readouterr()
    assert main(arguments) == 2
    assert "is a prepared log, but holds other things as well (runs)" in capsys.readouterr().err
    assert (tmp_path / "out" / "runs").is_dir()


def test_an_output_below_a_file_is_refused(log, capsys):
    assert main(["prepare", "--events", str(log), "--out", str(log / "out")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.shared_data
@pytest.mark.parametrize(("variant", "trained"), [([], 153_776), (["--split.no-validation"], 176_139)])
def test_amazon_beauty(shared_data, tmp_path, variant, trained):
    log = shared_data / "amazon-beauty" / "Beauty.txt"
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out"), *variant]) == 0
    dataset = open_dataset(tmp_path / "out")
    sequences = [list(map(int, line.split())) for line in log.read_text(encoding="utf-8").splitlines()]
    assert (dataset.histories.n_users, len(dataset.histories.items)) == (22_363, 198_502)
    assert dataset.vocabulary.counts.sum() == trained
    held_out = 1 if variant else 2
    assert set(dataset.vocabulary.item_ids.drop_nulls()) == {i for line in sequences for i in line[1:-held_out]}
    queries = Queries.of(dataset, "test")
    assert dataset.user_ids.to_list() == [line[0] for line in sequences]
    index, rows = queries.targets()
    assert len(index) == 22_363
    known = rows >= dataset.vocabulary.first_item
    expected = np.array([line[-1] for line in sequences])
    assert (dataset.ids(rows[known]).to_numpy() == expected[known]).all()
    if not variant:
        assert int((~known).sum()) == 138  # the users that published tables drop


@pytest.mark.slow
@pytest.mark.shared_data
def test_ml1m_known(shared_data, tmp_path):
    counts = convert(shared_data / "ml-1m", tmp_path / "source")
    assert counts == {"users": 6_040, "events": 988_555}
    side = ["--items", str(tmp_path / "source" / "items.tsv"), "--item-features.multi", "genres"]
    log = tmp_path / "source" / "log.txt"
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out"), *side]) == 0
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.histories.n_users, len(dataset.histories.items)) == (6_040, 988_555)
    assert dataset.item_feature_sizes == {"genres": 2 + 18}
    first = pl.read_csv(shared_data / "ml-1m" / "sequences.tsv", separator="\t", infer_schema=False).row(0, named=True)
    assert first["history_state"] == "gap1"
    history = dataset.histories.items[: dataset.histories.offsets[1]]
    assert dataset.ids(history).to_list() == list(map(int, first["history"].split()))


@pytest.mark.shared_data
def test_ml100k_by_time(shared_data, tmp_path):
    log = shared_data / "ml-100k" / "ml-100k.inter"
    assert main(["prepare", "--events", str(log), "--out", str(tmp_path / "out"), "--split.kind", "time"]) == 0
    dataset = open_dataset(tmp_path / "out")
    rows = [line.split("\t") for line in Path(log).read_text(encoding="utf-8").splitlines()[1:]]
    times = sorted(int(row[3]) for row in rows)
    cut = (times[80_000], times[90_000])
    assert (dataset.manifest.split["validation_from"], dataset.manifest.split["test_from"]) == cut
    assert dataset.vocabulary.counts.sum() == sum(int(row[3]) < cut[0] for row in rows)
    early = {row[0] for row in rows if int(row[3]) < cut[1]}
    late = {row[0] for row in rows if int(row[3]) >= cut[1]}
    queries = Queries.of(dataset, "test")
    assert len(queries) == len(late & early)
    assert queries.skipped["no event before test"] == len(late - early)
