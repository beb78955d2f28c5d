"""Each preset reads a tiny file of the shape that its publisher describes."""

import gzip
import json

import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.clicks.prepare.presets import PRESETS
from recsys_bert.errors import InputError
from recsys_bert.settings_types import field_docs
from recsys_bert.stages.prepare import PrepareConfig
from recsys_bert.stages.prepare import prepare as prepare_log

NO_SPLIT = SplitConfig(kind="none")
T = 1_400_000_000  # 2014-05-13T16:53:20Z
DAY = 1_462_752_000  # 2016-05-09
ABC = {"u1": ["a", "b"], "u2": ["b"]}


def json_lines(*rows):
    return [json.dumps(row) for row in rows]


SHAPES = {  # preset → (lines, histories, times in seconds after T; None: no times)
    "u.data": (
        (f"196\t242\t3\t{T + 1}", f"196\t302\t5\t{T}", f"22\t242\t1\t{T + 2}"),
        {22: [242], 196: [302, 242]},
        [2, 0, 1],
    ),
    "movielens-csv": (
        ("userId,movieId,rating,timestamp", f"1,2,3.5,{T}", f"1,29,3.5,{T + 1}", f"2,2,4.0,{T + 2}"),
        {1: [2, 29], 2: [2]},
        [0, 1, 2],
    ),
    "movielens-dat": (
        (f"1::122::5::{T}", f"1::185::3.5::{T + 1}", f"2::122::5::{T + 2}"),
        {1: [122, 185], 2: [122]}, [0, 1, 2]),
    "amazon-2014-csv": ((f"u1,a,5.0,{T}", f"u1,b,3.0,{T + 1}", f"u2,b,1.0,{T + 2}"), ABC, [0, 1, 2]),
    "amazon-2018-csv": ((f"a,u1,5.0,{T}", f"b,u1,3.0,{T + 1}", f"b,u2,1.0,{T + 2}"), ABC, [0, 1, 2]),
    "amazon-2023-csv": (
        ("user_id,parent_asin,rating,timestamp", f"u1,a,5.0,{T}123", f"u1,b,3.0,{T + 1}123", f"u2,b,1.0,{T + 2}123"),
        ABC,
        [0, 1, 2],
    ),
    "amazon-json": (
        json_lines(
            *(
                {
                    "reviewerID": user, "asin": item, "reviewerName": "N. \"N\" N",
            "helpful": [0, 1], "reviewText": "x, y",
                    "overall": 5.0, "summary": "s", "unixReviewTime": T + n, "reviewTime": "05 13, 2014",
                }
                for n, (user, item) in enumerate((("u1", "a"), ("u1", "b"), ("u2", "b")))
            )
        ),
        ABC,
        [0, 1, 2],
    ),
    "amazon-2023-json": (
        json_lines(
            *(
                {
                    "rating": 5.0, "title": "t", "text": "x", "images": [], "asin": "v", "parent_asin": item,
                    "user_id": user, "timestamp": (T + n) * 1000, "helpful_vote": 0, "verified_purchase": True,
                }
                for n, (user, item) in enumerate((("u1", "a"), ("u1", "b"), ("u2", "b")))
            )
        ),
        ABC,
        [0, 1, 2],
    ),
    "yelp": (
        json_lines(
            *(
                {
                    "review_id": f"r{n}", "user_id": user, "business_id": item, "stars": 5.0, "useful": 0, "funny": 0,
                    "cool": 0, "text": "x\ny", "date": f"2014-05-13 16:53:2{n}",
                }
                for n, (user, item) in enumerate((("u1", "a"), ("u1", "b"), ("u2", "b")))
            )
        ),
        ABC,
        [0, 1, 2],
    ),
    "book-crossing": (
        ('"User-ID";"ISBN";"Book-Rating"',
         '"276725";"034545104X";"0"',
         '"276725";"0155061224";"5"',
         '"276726";"0155061224";"é"'),
        {"276725": ["034545104X", "0155061224"], "276726": ["0155061224"]},
        None,
    ),
    "lastfm-1k": (
        (
            "user_000001\t2014-05-13T16:53:21Z\tartist-1\tDeep \"Dish\t\tLive",
            "user_000001\t2014-05-13T16:53:20Z\tartist-2\t坂本龍一\ttrack-2\tComposition 0919",
            "user_000001\t2014-05-13T16:53:20Z\t\tUnknown\t\tSong",
        ),
        {"user_000001": ["artist-2", "artist-1"]},
        [0, 1],
    ),
    "lastfm-hetrec": (("userID\tartistID\tweight",
            "2\t51\t13883", "2\t52\t11690", "3\t51\t1"), {2: [51, 52], 3: [51]}, None),
    "gowalla": (
        (
            "0\t2014-05-13T16:53:21Z\t30.2359091167\t-97.7951395833\t22847",
            "0\t2014-05-13T16:53:20Z\t30.2691029532\t-97.7493953705\t420315",
            "1\t2014-05-13T16:53:22Z\t30.2557309927\t-97.7633857727\t316637",
        ),
        {0: [420315, 22847], 1: [316637]},
        [0, 1, 2],
    ),
    "taobao": (
        (f"1,268,2520377,pv,{T}", f"1,246,4756105,buy,{T + 1}", f"2,268,2520377,cart,{T + 2}"),
        {1: [268, 246], 2: [268]}, [0, 1, 2]),
    "yoochoose": (
        ("1,2014-05-13T16:53:20.277Z,214536502,0",
            "1,2014-05-13T16:53:21.868Z,214536500,S", "2,2014-05-13T16:53:22.998Z,214536502,0"),
        {1: [214536502, 214536500], 2: [214536502]},
        [0, 1, 2],
    ),
    "yoochoose-buys": (
        ("420374,2014-05-13T16:53:20.046Z,214537888,12462,1", "420374,2014-05-13T16:53:21.073Z,214537850,10471,1"),
        {420374: [214537888, 214537850]},
        [0, 1],
    ),
    "diginetica": (
        (
            "sessionId;userId;itemId;timeframe;eventdate",
            "1;NA;9655;526309;2016-05-09",
            "1;NA;81766;1031;2016-05-09",
            "2;7;9655;0;2016-05-10",
        ),
        {1: [81766, 9655], 2: [9655]},
        [1, 526, 86_400],
    ),
    "mind": (
        (
            "1\tU1\t5/13/2014 4:53:25 PM\tN1 N2\tN3-1 N4-0",
            "2\tU1\t5/13/2014 4:53:20 PM\tN1 N2\tN5-0 N6-1 N7-1",
            "3\tU2\t5/13/2014 4:53:30 PM\t\tN3-1",
        ),
        {"U1": ["N1", "N2", "N6", "N7", "N3"], "U2": ["N3"]},
        [0, 0, 0, 0, 5, 10],
    ),
    "otto": (
        json_lines(
            {"session": 0, "events": [
                {"aid": 5, "ts": (T + 1) * 1000, "type": "clicks"}, {"aid": 6, "ts": T * 1000 + 5, "type": "carts"},
            ]},
            {"session": 1, "events": [{"aid": 5, "ts": (T + 2) * 1000, "type": "orders"}]},
        ),
        {0: [6, 5], 1: [5]},
        [0, 1, 2],
    ),
    "online-retail-ii": (
        (
            "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
            '489434,85048,"15CM CHRISTMAS GLASS BALL, 20 LIGHTS",12,2014-05-13 16:53:20,6.95,13085.0,United Kingdom',
            "489434,79323P,PINK CHERRY LIGHTS,12,2014-05-13 16:53:21,6.75,13085.0,United Kingdom",
            "489436,85048,,1,2014-05-13 16:53:21,1.0,,United Kingdom",
        ),
        {"13085": ["85048", "79323P"]},
        [0, 1],
    ),
    "recbole": (
        ("user_id:token\titem_id:token\trating:float\ttimestamp:float",
         f"u1\ta\t3\t{T}",
         f"u1\tb\t3\t{T + 1}",
         f"u2\tb\t1\t{T + 2}"),
        ABC,
        [0, 1, 2],
    ),
    "lines": (("1 5 6 5", "2 7"), {1: [5, 6, 5], 2: [7]}, None),
}  # fmt: skip


def write(tmp_path, name, lines, encoding="utf-8"):
    path = tmp_path / name
    content = "".join(line + "\n" for line in lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def histories(dataset):
    data, ids = dataset.histories, dataset.user_ids.to_list()
    return {
        user: dataset.ids(data.items[data.offsets[row] : data.offsets[row + 1]]).to_list()
        for row, user in enumerate(ids)
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_its_files_shape(tmp_path, name):
    lines, expected, times = SHAPES[name]
    path = write(tmp_path, PRESETS[name].file, lines, "latin-1" if name == "book-crossing" else "utf-8")
    dataset = prepare_log(path, log={"preset": name}, split=NO_SPLIT)
    assert histories(dataset) == expected
    assert dataset.has_times == (times is not None)
    start = DAY if name == "diginetica" else T
    assert times is None or (dataset.histories.times - start).tolist() == times


def test_every_preset_says_where_its_shape_is_described():
    assert all(preset.url.startswith("http") for preset in PRESETS.values())
    named = field_docs(LogConfig)["preset"]
    assert all(name in named for name in PRESETS)


def test_settings_win_over_a_preset(tmp_path):
    path = write(tmp_path, "u.data", (f"1\t242\t3\t{T}", f"1\t302\t5\t{T + 1}", f"1\t303\t1\t{T + 2}"))
    log = {"preset": "u.data", "item": "rating", "weight": "rating", "min_weight": 3.0}
    dataset = prepare_log(path, log=log, split=NO_SPLIT)
    assert histories(dataset) == {1: [3, 5]}
    config = dataset.manifest.config["log"]
    assert (config["preset"], config["separator"], config["item"]) == ("u.data", "tab", "rating")


def test_an_unknown_preset_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no preset is called 'u\.dat'; did you mean 'u\.data'"):
        prepare_log(write(tmp_path, "u.data", ("1\t2\t3\t4",)), log={"preset": "u.dat"})


@pytest.mark.parametrize("file", ["otto", "mind"])
def test_a_bad_event_within_a_line_is_shown_by_its_line(tmp_path, file):
    lines = list(SHAPES[file][0])
    lines.append(
        {"otto": '{"session": 2, "events": [{"aid": 5, "ts": null, "type": "clicks"}]}', "mind": "4\tU3\tsoon\t\tN3-1"}[
            file
        ]
    )
    path = write(tmp_path, PRESETS[file].file, lines)
    with pytest.raises(InputError, match=rf"(line|row) {len(lines)} of {PRESETS[file].file}"):
        prepare_log(path, log={"preset": file})


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "brackets", "spaces"])
@pytest.mark.parametrize("timed", [True, False])
def test_a_row_a_user_with_lists_of_items(tmp_path, kind, timed):
    frame = pl.DataFrame({"user_id": ["x", "y"], "item_id": [[5, 6, 7], [8]], "timestamp": [[3, 1, 2], [4]]})
    frame = frame if timed else frame.drop("timestamp")
    texts = pl.col(frame.columns[1:]).cast(pl.List(pl.String)).list.join(" " if kind == "spaces" else ", ")
    options = {"list_separator": " "} if kind == "spaces" else {}
    if kind == "parquet":
        frame.write_parquet(tmp_path / "log")
    elif kind == "jsonl":
        frame.write_ndjson(tmp_path / "log")
    else:
        frame = frame.with_columns(texts)
        if kind == "brackets":
            frame = frame.with_columns(pl.format("[{}]", pl.col(name)).alias(name) for name in frame.columns[1:])
        frame.write_csv(tmp_path / "log")
    options |= {"format": kind if kind in ("parquet", "jsonl") else "csv"} | ({} if timed else {"time": None})
    dataset = prepare_log(tmp_path / "log", log=options, split=NO_SPLIT)
    assert histories(dataset) == ({"x": [6, 7, 5], "y": [8]} if timed else {"x": [5, 6, 7], "y": [8]})


def test_lists_of_different_lengths_are_a_bad_row(tmp_path):
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": [[5, 6], [7]], "timestamp": [[1, 2], [3, 4]]})
    with pytest.raises(InputError, match=r"row 2 of events: .*too few or too many"):
        prepare_log(frame)
    dataset = prepare_log(frame, log={"bad_rows": "drop"}, split=NO_SPLIT)
    assert histories(dataset) == {1: [5, 6]}


def test_settings_of_reading_by_hand(tmp_path):
    lines = ("zoé|'a|b'|13.05.2014 16:53", "zoé|'c'|14.05.2014 16:53")
    path = write(tmp_path, "log.data", lines, "latin-1")
    log = {"separator": "|", "quote": "'", "columns": ("user_id", "item_id", "timestamp"), "encoding": "latin-1"}
    dataset = prepare_log(path, log={**log, "time_format": "%d.%m.%Y %H:%M"}, split=NO_SPLIT)
    assert histories(dataset) == {"zoé": ["a|b", "c"]}
    assert (dataset.histories.times - T).tolist() == [-20, 86_380]


def test_side_tables_have_the_same_settings(tmp_path):
    items = write(tmp_path, "items.data", ("5;Amélie;Comedy|Romance", "6;Heat;Crime"), "latin-1")
    table = {"separator": ";", "columns": ("item_id", "title", "genres"), "encoding": "latin-1"}
    log = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "timestamp": [1, 2]})
    dataset = prepare_log(log, items=items, item_table=table, item_features={"multi": ["genres"]}, split=NO_SPLIT)
    assert dataset.items.filter(item_id=5)["title"].item() == "Amélie"
    assert dataset.item_feature_sizes == {"genres": 2 + 3}
    assert PrepareConfig().item_table.columns == ()
