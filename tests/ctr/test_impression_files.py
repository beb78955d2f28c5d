"""Impressions from files as people have them."""

import polars as pl
import pytest

from recsys_bert.ctr.config import ColumnsConfig, FilesConfig
from recsys_bert.ctr.impressions import read_impressions
from recsys_bert.errors import InputError

COLUMNS = ColumnsConfig(user="user", item="item", time="time")
T = 1_400_000_000  # 2014-05-13T16:53:20Z


@pytest.fixture
def text(tmp_path):
    def write(name, *lines, encoding="utf-8"):
        (tmp_path / name).write_bytes("".join(line + "\n" for line in lines).encode(encoding))
        return tmp_path / name

    return write


def test_separator_columns_encoding_quote_and_time_format(text):
    path = text("log.data", "zoé;'a;b';13.05.2014 16:53;1", "zoé;c;14.05.2014 16:53;0", encoding="latin-1")
    files = FilesConfig(
        separator=";", columns=("user", "item", "time", "label"), encoding="latin-1", quote="'", format="csv"
    )
    columns = ColumnsConfig(user="user", item="item", time="time", time_format="%d.%m.%Y %H:%M")
    impressions = read_impressions(path, columns, [], files=files)
    assert impressions.frame.select("user", "item").rows() == [("zoé", "a;b"), ("zoé", "c")]
    assert impressions.labels.tolist() == [1, 0]
    assert (impressions.times - T).tolist() == [-20, 86_380]


def test_words_for_missing_values_are_missing(text):
    path = text("log.csv", "user,item,time,label,device", f"1,5,{T},1,NULL", f"nan,6,{T},0,tv")
    impressions = read_impressions(path, COLUMNS, ["device"])
    assert impressions.frame.select("user", "device").rows() == [("1", None), (None, "tv")]
    assert read_impressions(path, COLUMNS, ["device"], files=FilesConfig(missing=())).frame["user"].to_list() == [
        "1",
        "nan",
    ]
    frame = pl.DataFrame({"user": ["NULL", "a"], "label": [0, 1]})
    assert read_impressions(frame, ColumnsConfig(user="user"), []).frame["user"].to_list() == [None, "a"]


def test_rows_of_other_widths_are_refused_or_counted(text, capsys):
    path = text("log.csv", "user,item,time,label,device", f"1,5,{T},1,a", f"1,5,5,{T},1,a", f"1,6,{T}", f"1,7,{T},0,b")
    with pytest.raises(InputError, match=r"line 3 of log\.csv has too few .*2 such rows.*--files\.bad-rows drop"):
        read_impressions(path, COLUMNS, [])
    impressions = read_impressions(path, COLUMNS, [], files=FilesConfig(bad_rows="drop"))
    assert impressions.frame["item"].to_list() == ["5", "7"]
    assert "2 of 4 rows" in capsys.readouterr().err


def test_units_of_time_are_told_file_by_file(tmp_path):
    columns = {"user": [1], "item": [5], "label": [1]}
    times = [pl.Series([T]), pl.Series([T * 1000 + 1000]), pl.from_epoch(pl.Series([T + 2])), pl.Series([f"{T + 3}"])]
    for n, time in enumerate(times):
        pl.DataFrame({**columns, "time": time}).write_parquet(tmp_path / f"{n}.parquet")
    impressions = read_impressions(tmp_path, COLUMNS, [])
    assert (impressions.times - T).tolist() == [0, 1, 2, 3]
    pl.DataFrame({**columns, "time": [T // 1000]}).write_parquet(tmp_path / "4.parquet")
    with pytest.raises(InputError, match=r"1 of 5 times of .* lie in January 1970"):
        read_impressions(tmp_path, COLUMNS, [])


def test_mind(text):
    path = text("behaviors.tsv", "1\tU1\t5/13/2014 4:53:25 PM\tN1 N2\tN3-1 N4-0", "2\tU2\t5/13/2014 4:53:20 PM\t\tN5-0")
    columns = ColumnsConfig(user="user_id", item="item_id", time="timestamp")
    impressions = read_impressions(path, columns, ["history"], files=FilesConfig(format="mind_impressions"))
    assert impressions.frame.select("user_id", "item_id").rows() == [("U1", "N3"), ("U1", "N4"), ("U2", "N5")]
    assert impressions.labels.tolist() == [1, 0, 0]
    assert (impressions.times - T).tolist() == [5, 5, 0]
    assert impressions.frame["history"].to_list() == [["N1", "N2"], ["N1", "N2"], None]


def test_minds_test_set_has_no_labels(text):
    path = text("behaviors.tsv", "1\tU1\t5/13/2014 4:53:25 PM\tN1 N2\tN3 N4")
    columns, files = ColumnsConfig(user="user_id", item="item_id"), FilesConfig(format="mind_impressions")
    assert len(read_impressions(path, columns, [], files=files, labelled=False)) == 2
    with pytest.raises(InputError, match="label"):
        read_impressions(path, columns, [], files=files)


def test_latin1_names_its_setting(text):
    path = text("log.csv", "user,item,time,label", f"zoé,5,{T},1", encoding="latin-1")
    with pytest.raises(InputError, match=r"It looks like latin-1: pass --files\.encoding latin-1"):
        read_impressions(path, COLUMNS, [])
