from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_bert.ctr.config import ImpressionsConfig, rule_parts
from recsys_bert.ctr.impressions import read_impressions, read_labels, read_splits, read_times
from recsys_bert.errors import InputError


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("clicked", ("clicked", None, "")),
        ("rating >= 4", ("rating", ">=", "4")),
        ("rating>3.5", ("rating", ">", "3.5")),
        ("watch time <=10", ("watch time", "<=", "10")),
        ("kind == buy", ("kind", "==", "buy")),
    ],
)
def test_a_rule_falls_into_column_sign_and_value(label, parts):
    assert rule_parts(label) == parts


@pytest.mark.parametrize(
    ("column", "label", "expected"),
    [
        ([1, 0, -1], "x", [1, 0, 0]),
        (["1", "0", "-1"], "x", [1, 0, 0]),
        ([True, False, True], "x", [1, 0, 1]),
        (["True", "false", "1"], "x", [1, 0, 1]),
        ([1.0, 0.0, 1.0], "x", [1, 0, 1]),
        ([3, 4, 5], "x >= 4", [0, 1, 1]),
        (["3", "4.5", "10"], "x > 4", [0, 1, 1]),
        (["buy", "view", "buy"], "x == buy", [1, 0, 1]),
        ([1, 2, 3], "x != 2", [1, 0, 1]),
    ],
)
def test_labels(column, label, expected):
    assert read_labels(pl.DataFrame({"x": column}), label).tolist() == expected


@pytest.mark.parametrize(
    ("column", "label", "message"),
    [
        ([1, 2, 0], "x", r"row 2: x is 2.*1 such rows.*rating >= 4"),
        (["4", "four", None], "x >= 4", "row 2: x is 'four'.*2 such rows"),
        ([1.0, float("nan")], "x > 0", "row 2: x is nan"),
        ([1, 0], "x > big", "'big' is not a number"),
    ],
)
def test_labels_that_cannot_be_read(column, label, message):
    with pytest.raises(InputError, match=message):
        read_labels(pl.DataFrame({"x": column}), label)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([86_400, 86_401]),
        pl.Series(["86400", "86401.9"]),
        pl.Series(["1970-01-02", "1970-01-02T00:00:01Z"]),
        pl.Series([datetime(1970, 1, 2), datetime(1970, 1, 2, 0, 0, 1, 900_000)]),
    ],
)
def test_times_become_whole_seconds(column):
    assert read_times(column, "auto").tolist() == [86_400, 86_401]


def test_units_are_guessed_or_given():
    assert read_times(pl.Series([1_700_000_000_123]), "auto").tolist() == [1_700_000_000]
    assert read_times(pl.Series([5_000]), "ms").tolist() == [5]
    with pytest.raises(InputError, match="row 2: time 'soon'"):
        read_times(pl.Series(["2020-01-01", "soon"]), "auto")


@pytest.fixture
def columns(tmp_path):
    return ImpressionsConfig(log=tmp_path / "log.csv", user="u", time="t", label="y")


def _write(path, times):
    n = len(times)
    pl.DataFrame({"u": range(n), "t": times, "y": [0, 1] * (n // 2), "extra": ["a"] * n}).write_csv(path)


def test_one_file_is_cut_at_quantiles_of_time(columns):
    times = np.random.default_rng(0).permutation(100)
    _write(columns.log, times)
    splits = read_splits(columns, ["extra"])
    assert {name: (part.times.min(), part.times.max()) for name, part in splits.items()} == {
        "train": (0, 79),
        "validation": (80, 89),
        "test": (90, 99),
    }
    for part in splits.values():  # rows stay together
        assert (times[part.frame["u"].cast(pl.Int64)] == part.times).all()
        assert part.frame.columns == ["u", "extra"]


def test_equal_moments_are_never_parted(columns):
    _write(columns.log, [5] * 6 + [6] * 2 + [7] * 2)
    splits = read_splits(replace(columns, validation_from=0.7, test_from=0.9), [])
    assert [len(part) for part in splits.values()] == [6, 2, 2]


def test_the_prepared_log_gives_the_cut_unless_one_is_named(columns):
    _write(columns.log, list(range(100)))
    assert [len(part) for part in read_splits(columns, [], (50, 60)).values()] == [50, 10, 40]
    named = replace(columns, validation_from=0.7, test_from="1970-01-01T00:01:35")
    assert [len(part) for part in read_splits(named, [], (50, 60)).values()] == [70, 25, 5]


def test_a_cut_that_leaves_a_part_empty_is_refused(columns):
    _write(columns.log, list(range(10)))
    with pytest.raises(InputError, match="no impression falls into train"):
        read_splits(columns, [], (0, 5))


def test_files_can_be_given_instead(tmp_path):
    for name in ("train", "validation"):
        _write(tmp_path / f"{name}.csv", [1, 2])
    config = ImpressionsConfig(train=tmp_path / "train.csv", validation=tmp_path / "validation.csv", label="y")
    splits = read_splits(config, ["extra"])
    assert list(splits) == ["train", "validation"]
    assert splits["train"].times is None


def test_recbole_and_unlabelled_files(tmp_path):
    path = tmp_path / "some.inter"
    path.write_text("u:token\tt:float\n1\t3.5\n")
    shown = read_impressions(path, ImpressionsConfig(user="u", time="t", label="rating >= 4"), [], labelled=False)
    assert (shown.labels, shown.times.tolist(), shown.frame["u"].to_list()) == (None, [3], ["1"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either impressions.log"),
        ({"log": "a", "train": "b"}, "either impressions.log"),
        ({"train": "a"}, "needs impressions.validation"),
        ({"log": "a", "time": "t", "test": "b"}, "cut by time"),
        ({"log": "a"}, "needs impressions.time"),
        ({"train": "a", "validation": "b", "test_from": 0.9}, "say where impressions.log is cut"),
        ({"train": "a.csv", "validation": "b.csv", "libfm_fields": "f.tsv"}, r"names the fields .* a\.csv is none"),
    ],
)
def test_files_that_do_not_go_together(settings, message):
    settings = {name: Path(value) if name not in ("time", "test_from") else value for name, value in settings.items()}
    with pytest.raises(InputError, match=message):
        ImpressionsConfig(**settings).check_files()


def test_a_missing_column_and_an_empty_file(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match=r"has no column 'c', 'label'.*it has 'a', 'b'"):
        read_impressions(path, ImpressionsConfig(user="a"), ["c"])
    with pytest.raises(InputError, match="has no rows"):
        read_impressions(path, ImpressionsConfig(user="a", label="b"), [])


def test_one_odd_time_does_not_change_the_unit_of_the_others():
    timestamps = [1_700_000_000 + n for n in range(5)]
    assert read_times(pl.Series([0, *(1_000 * timestamp for timestamp in timestamps)]), "auto").tolist() == [
        0,
        *timestamps,
    ]
    with pytest.raises(InputError, match="row 6: time 1700000005000"):
        read_times(pl.Series([*timestamps, 1_700_000_005_000]), "auto")
