from datetime import datetime

import numpy as np
import polars as pl
import pytest

from recsys_bert.ctr.config import ColumnsConfig, rule_parts
from recsys_bert.ctr.impressions import read_impressions, read_labels, read_tasks, read_times, source_fingerprint
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
def test_a_rule_is_split_into_column_sign_and_value(label, parts):
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
    ("column", "label"),
    [
        ([1, None, 0], "x"),
        ([1.0, float("nan"), 0.0], "x"),
        (["1", " ", "0"], "x"),
        ([True, None, False], "x"),
        ([5, None, 3], "x >= 4"),
        (["5", "", "3"], "x >= 4"),
        (["buy", None, "view"], "x == buy"),
    ],
)
def test_one_of_several_labels_may_be_missing(column, label):
    frame = pl.DataFrame({"x": column, "y": [0, 1, 1]})
    labels = read_tasks(frame, (label, "y"))
    np.testing.assert_array_equal(labels, np.array([[1, 0], [np.nan, 1], [0, 1]], np.float32))
    assert labels.dtype == np.float32
    with pytest.raises(InputError, match="row 2"):
        read_tasks(frame, label)


def test_a_label_that_cannot_be_read_is_no_missing_one():
    with pytest.raises(InputError, match=r"row 1: x is .maybe.*1 such rows"):
        read_tasks(pl.DataFrame({"x": ["maybe", None], "y": [0, 1]}), ("x", "y"))


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


def test_units_are_guessed_or_set():
    assert read_times(pl.Series([1_700_000_000_123]), "auto").tolist() == [1_700_000_000]
    assert read_times(pl.Series([5_000]), "ms").tolist() == [5]
    with pytest.raises(InputError, match="row 2: time 'soon'"):
        read_times(pl.Series(["2020-01-01", "soon"]), "auto")


def test_recbole_and_unlabelled_files(tmp_path):
    path = tmp_path / "some.inter"
    path.write_text("u:token\tt:float\n1\t3.5\n")
    impressions = read_impressions(path, ColumnsConfig(user="u", time="t", label="rating >= 4"), [], labelled=False)
    assert (impressions.labels, impressions.times.tolist(), impressions.frame["u"].to_list()) == (None, [3], ["1"])


def test_a_missing_column_and_an_empty_file(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError, match=r"has no column 'c', 'label'.*it has 'a', 'b'"):
        read_impressions(path, ColumnsConfig(user="a"), ["c"])
    with pytest.raises(InputError, match="has no rows"):
        read_impressions(path, ColumnsConfig(user="a", label="b"), [])


def test_one_odd_time_does_not_change_the_unit_of_the_others():
    timestamps = [1_700_000_000 + n for n in range(5)]
    assert read_times(pl.Series([0, *(1_000 * timestamp for timestamp in timestamps)]), "auto").tolist() == [
        0,
        *timestamps,
    ]
    with pytest.raises(InputError, match="row 6: time 1700000005000"):
        read_times(pl.Series([*timestamps, 1_700_000_005_000]), "auto")


@pytest.mark.parametrize(
    "convert", [lambda frame: frame, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, pl.DataFrame.to_dict]
)
def test_tables_of_any_library_are_read_like_files(convert, tmp_path):
    frame = pl.DataFrame({"u": ["a", "b"], "y": [1, 0], "x": [0.5, None], "unused": [[1], [2]]})
    frame.write_parquet(tmp_path / "file.parquet")
    columns = ColumnsConfig(user="u", label="y")
    expected = read_impressions(tmp_path / "file.parquet", columns, ["x"])
    impressions = read_impressions(convert(frame), columns, ["x"])
    assert impressions.frame.equals(expected.frame)
    assert impressions.labels.tolist() == expected.labels.tolist() == [1, 0]


def test_a_table_without_a_column_is_refused_by_name():
    with pytest.raises(InputError, match=r"table of impressions has no column 'x'; it has 'y'\. Set columns"):
        read_impressions({"y": [1, 0]}, ColumnsConfig(label="y"), ["x"])
    with pytest.raises(InputError, match="impressions is a list"):
        read_impressions([1, 0], ColumnsConfig(label="y"), [])


def test_fingerprints_follow_the_contents(tmp_path):
    frame = pl.DataFrame({"a": [1, 2]})
    assert source_fingerprint(frame) == source_fingerprint(pl.concat([frame[:1], frame[1:]], rechunk=False))
    assert source_fingerprint(frame) != source_fingerprint(frame.reverse())
    for name in ("a.parquet", "b.parquet"):
        frame.write_parquet(tmp_path / name)
    assert source_fingerprint(tmp_path / "a.parquet") == source_fingerprint(tmp_path / "b.parquet")
