"""Files as people have them: each is read rightly, counted, or refused with what reads it."""

import bz2
import gzip
import json
import shlex
from datetime import datetime

import polars as pl
import pytest

from pipelines import cli
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.side_tables import as_log_ids
from recsys_bert.clicks.prepare.side_values import value_texts
from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError

NO_SPLIT = SplitConfig(kind="none")
HEADER = "user_id,item_id,timestamp"


@pytest.fixture
def text(tmp_path):
    def write(name, *lines, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
        return path

    return write


def histories(dataset):
    data, ids = dataset.histories, dataset.user_ids.to_list()
    return {
        user: dataset.ids(data.items[data.offsets[row] : data.offsets[row + 1]]).to_list()
        for row, user in enumerate(ids)
    }


def reasons(dataset):
    return dataset.manifest.filters[0]["reasons"]


def read_by_the_advice(error, path, tmp_path):
    """Run the command that a message names; return the prepared log."""
    from recsys_bert.clicks.dataset import open_dataset

    flags = shlex.split(str(error.value).partition("with ")[2].partition(", or pass")[0])
    out = str(tmp_path / "advised")
    assert cli.main(["prepare", "--events", str(path), "--out", out, "--split.kind", "none", *flags]) == 0
    return open_dataset(tmp_path / "advised")


TABLES = {
    "librec": ("1 242 3 881250949", "1 302 3 891717742", "2 377 1 878887116", "2 242 2 880606923"),
    "tabs": ("1\t242\t3\t881250949", "1\t302\t3\t891717742", "2\t377\t1\t878887116", "2\t242\t2\t880606923"),
    "user item time": ("1 242 881250949", "1 302 891717742", "2 377 878887116", "2 242 880606923"),
    "dates": (
        "1\t242\t2010-10-19T23:55",
        "1\t302\t2010-10-20T23:55",
        "2\t377\t2010-10-18T22:17",
        "2\t242\t2010-10-19T00:00",
    ),
    "header": ("user item time", "1 242 881250949", "1 302 891717742", "2 377 878887116", "2 242 880606923"),
    "commas": ("1,242,3,881250949", "1,302,3,891717742", "2,377,1,878887116", "2,242,2,880606923"),
    "colons": ("1::242::3::881250949", "1::302::3::891717742", "2::377::1::878887116", "2::242::2::880606923"),
    "milliseconds": ("1 242 881250949000", "1 302 891717742000", "2 377 878887116000", "2 242 880606923000"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_in_a_txt_file_is_refused_with_the_command_that_reads_it(prepare, text, tmp_path, kind):
    path = text("ratings.txt", *TABLES[kind])
    with pytest.raises(InputError, match="looks like a table of") as error:
        prepare(path)
    dataset = read_by_the_advice(error, path, tmp_path)
    assert histories(dataset) == {1: [242, 302], 2: [377, 242]}
    assert dataset.has_times


def test_ratings_without_times_in_a_txt_file_are_a_table(prepare, text, tmp_path):
    path = text("ratings.txt", *(f"{n // 10} {100 + n % 37} {1 + n % 5}.5" for n in range(200)))
    with pytest.raises(InputError, match="looks like a table of 3 columns") as error:
        prepare(path)
    dataset = read_by_the_advice(error, path, tmp_path)
    assert (dataset.histories.n_users, dataset.vocabulary.n_items, dataset.has_times) == (20, 37, False)


@pytest.mark.parametrize(
    "lines",
    [
        ("1 242", "1 302", "2 377"),
        ("1\t242", "1\t302", "2\t377"),
        ("1 242 302 7", "2 377 5 9", "3 1 2 3"),
        ("1 881250949 891717742", "2 878887116 880606923"),
        ("1 2 3", "1 4 5", "2 6 7", "2 8 9"),
    ],
)
def test_pairs_and_histories_in_txt_files_stay_what_they_are(prepare, text, lines):
    expected = {}
    for line in lines:
        user, *items = map(int, line.split())
        expected.setdefault(user, []).extend(items)
    assert histories(prepare(text("log.txt", *lines), split=NO_SPLIT)) == expected


def test_format_lines_reads_a_table_as_histories_where_the_caller_insists(prepare, text):
    dataset = prepare(text("log.txt", *TABLES["librec"]), log_options={"format": "lines"}, split=NO_SPLIT)
    assert dataset.manifest.counts["events"] == 12


SECONDS = 1_600_000_000


def test_units_of_time_are_told_file_by_file(prepare, text, tmp_path):
    (tmp_path / "log").mkdir()
    columns = {"user_id": [1, 1], "item_id": [5, 6]}
    datetimes = [datetime(2020, 9, 13, 12, 26, 40), datetime(2020, 9, 13, 12, 26, 41)]
    pl.DataFrame(columns | {"timestamp": datetimes}).write_parquet(tmp_path / "log" / "a.parquet")
    for n, factor in enumerate((1, 1_000, 1_000_000, 1_000_000_000), start=1):
        times = [(SECONDS + 10 * n) * factor, (SECONDS + 10 * n + 1) * factor]
        pl.DataFrame(columns | {"timestamp": times}).write_parquet(tmp_path / "log" / f"b{n}.parquet")
    dataset = prepare(tmp_path / "log", split=NO_SPLIT)
    assert dataset.histories.times.tolist() == [SECONDS + 10 * n + m for n in range(5) for m in (0, 1)]
    assert dataset.manifest.log["time_units"] == {"dates": 1, "s": 1, "ms": 1, "us": 1, "ns": 1}


def test_events_in_january_1970_beside_later_ones_stop(prepare, tmp_path):
    (tmp_path / "log").mkdir()
    for name, times in (("a", range(SECONDS, SECONDS + 20)), ("b", range(1_600_000, 1_600_020))):
        frame = pl.DataFrame({"user_id": [1] * 20, "item_id": range(20), "timestamp": times})
        frame.write_parquet(tmp_path / "log" / f"{name}.parquet")
    with pytest.raises(
        InputError, match=r"20 of 40 events lie in January 1970, the others from 2020-09-13 to 2020-09-13"
    ):
        prepare(tmp_path / "log")
    dataset = prepare(tmp_path / "log", log_options={"bad_rows": "drop"}, split=NO_SPLIT)
    assert reasons(dataset) == {"time in January 1970": 20}
    assert dataset.manifest.counts["events"] == 20


def test_logical_times_are_no_unit_mistake(prepare):
    dataset = prepare([(1, 5, 0), (1, 6, 1), (1, 7, 2)], split=NO_SPLIT)
    assert dataset.histories.times.tolist() == [0, 1, 2]


@pytest.mark.parametrize("word", ["NULL", "nan", "None", "NA", "null", "<NA>", "\\N", "N/A"])
@pytest.mark.parametrize(("role", "reason"), [("user", "no user"), ("item", "no item"), ("time", "no time")])
def test_words_for_missing_values_are_missing(prepare, text, word, role, reason):
    row = {"user": "1", "item": "6", "time": "4"} | {role: word}
    path = text("log.csv", HEADER, "1,5,3", ",".join(row.values()))
    with pytest.raises(InputError, match=rf"row 2 of log\.csv: .*\({reason}\); 1 such rows"):
        prepare(path)
    dataset = prepare(path, log_options={"bad_rows": "drop"}, split=NO_SPLIT)
    assert reasons(dataset) == {reason: 1}
    assert histories(dataset) == {1: [5]}


def test_words_for_missing_values_are_a_setting(prepare, text):
    path = text("log.csv", HEADER, "anna,NA,1", "anna,-,2", "anna,b,3")
    options = {"missing": ("-",), "bad_rows": "drop"}
    dataset = prepare(path, log_options=options, split=NO_SPLIT)
    assert histories(dataset) == {"anna": ["NA", "b"]}
    assert reasons(dataset) == {"no item": 1}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_whole_floats_are_integers_and_join(prepare, text, tmp_path, ending):
    frame = pl.DataFrame({"user_id": [1.0, 1.0, None], "item_id": [5.0, 6.0, 7.0], "timestamp": [1, 2, 3]})
    path = tmp_path / f"log.{ending}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[ending](path)
    items = text("items.csv", "item_id,kind", "5,a", "6.0,b")
    features = SideFeaturesConfig(categorical=("kind",))
    options = {"bad_rows": "drop"}
    dataset = prepare(path, log_options=options, split=NO_SPLIT, items=items, item_features=features)
    assert histories(dataset) == {1: [5, 6]}
    assert dataset.items.sort("item_id").select("item_id", "kind").rows() == [(5, "a"), (6, "b")]
    assert dataset.rows(["5.0", "6"]).tolist() == dataset.rows([5.0, 6]).tolist()


def test_fractions_are_no_ids(prepare, text):
    with pytest.raises(InputError, match=r"1 item ids that are text, such as '5\.5' beside integers such as 6"):
        prepare(text("log.csv", HEADER, "1,5.5,1", "1,6,2"))


@pytest.mark.parametrize(
    ("id", "kind"), [(2**63 - 1, pl.Int64), (10**18, pl.Int64), (2**63, pl.String), (10**20, pl.String)]
)
def test_ids_of_19_digits_are_integers_where_they_fit(prepare, text, id, kind):
    path = text("log.csv", HEADER, f"1,{id},1", "1,6,2")
    dataset = prepare(path, split=NO_SPLIT)
    assert dataset.items["item_id"].dtype == kind
    assert sorted(map(int, dataset.items["item_id"])) == [6, id]
    if kind == pl.String:
        with pytest.raises(InputError, match=rf"holds {id}; integer ids end at 2\^63 - 1"):
            prepare(path, log_options={"ids": "integer"})


def test_a_join_of_nothing_is_a_warning(prepare, text, capsys):
    users = text("users.csv", "user_id,gender", "901,m", "902,f")
    features = SideFeaturesConfig(categorical=("gender",))
    dataset = prepare([(1, 5, 1), (1, 6, 2)], split=NO_SPLIT, users=users, user_features=features)
    assert (
        "WARNING: no id of users.csv is in the log: column 'user_id' has ids such as 901, the log 1"
        in capsys.readouterr().err
    )
    assert dataset.manifest.side_tables["users"]["ids_in_log"] == 0


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("log.txt", ("1 5 6", "2 5")),
        ("log.csv", (HEADER, "1,5,1", "1,6,2", "2,5,3")),
        ("log.tsv", ("user_id\titem_id\ttimestamp", "1\t5\t1", "1\t6\t2", "2\t5\t3")),
        ("log.dat", ("1::5::4::1", "1::6::4::2", "2::5::4::3")),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_part_of_an_id(prepare, text, name, lines, encoding):
    assert histories(prepare(text(name, *lines, encoding=encoding), split=NO_SPLIT)) == {1: [5, 6], 2: [5]}


def test_a_byte_order_mark_before_json_lines(prepare, text):
    rows = [json.dumps({"user_id": 1, "item_id": item, "timestamp": item}) for item in (5, 6)]
    assert histories(prepare(text("log.jsonl", *rows, encoding="utf-8-sig"), split=NO_SPLIT)) == {1: [5, 6]}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_movies_are_utf8_or_latin1(prepare, text, encoding):
    movies = text("movies.dat", "5::Amélie (2001)::Comedy|Romance", "6::Heat (1995)::Crime", encoding=encoding)
    dataset = prepare([(1, 5, 1), (1, 6, 2)], split=NO_SPLIT, items=movies)
    assert dataset.items.filter(item_id=5)["title"].item() == "Amélie (2001)"


@pytest.mark.parametrize(
    "values",
    [
        ["['Action', 'Drama']", "['Drama']"],
        ['["Action", "Drama"]', '["Drama"]'],
        ["[Action Drama]", "[Drama]"],
        ["Action|Drama", "Drama"],
    ],
)
def test_lists_written_as_text_are_lists(prepare, values):
    items = pl.DataFrame({"item_id": [5, 6], "genres": values})
    features = SideFeaturesConfig(multi=("genres",))
    dataset = prepare([(1, 5, 1), (1, 6, 2)], split=NO_SPLIT, items=items, item_features=features)
    names = pl.read_parquet(dataset.folder / "item_features" / "values.parquet")["value"].to_list()
    assert names == ["Drama", "Action"]


def test_quoted_elements_may_hold_commas(prepare):
    items = pl.DataFrame({"item_id": [5], "tags": ["""['a, b', "it's", 'c']"""]})
    features = SideFeaturesConfig(multi=("tags",))
    dataset = prepare([(1, 5, 1), (1, 5, 2)], split=NO_SPLIT, items=items, item_features=features)
    names = pl.read_parquet(dataset.folder / "item_features" / "values.parquet")["value"].to_list()
    assert sorted(names) == ["a, b", "c", "it's"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.1, 0.2], [0.3, 0.4]], "holds vectors"),
        (["[0.1, 0.2, -0.5, 1.0]", "[0.3, 0.4, 1e-3, 2.5]"], "holds vectors as text"),
        ([{"a": 1}, {"a": 2}], "holds objects"),
        ([[{"a": 1}], [{"a": 2}]], "holds objects"),
        (["{'a': 1}", "{'a': 2}"], "holds objects"),
    ],
)
@pytest.mark.parametrize("kind", ["multi", "categorical"])
def test_vectors_and_objects_are_no_categories(prepare, values, message, kind):
    items = pl.DataFrame({"item_id": [5, 6], "x": values})
    if "text" in message and kind == "categorical":
        message = "holds lists"
    with pytest.raises(InputError, match=f"column 'x' of items {message}"):
        prepare([(1, 5, 1), (1, 6, 2)], items=items, item_features=SideFeaturesConfig(**{kind: ("x",)}))


@pytest.mark.parametrize(
    "make", [lambda: SideFeaturesConfig(multi=("a",), separator=""), lambda: TableConfig(separator="")]
)
def test_an_empty_separator_is_refused(make):
    with pytest.raises(InputError, match="into its letters"):
        make()


RAGGED = (
    "user_id,item_id,rating,timestamp,zip",
    "1,12,3,1600000000,a",
    "1,12,50,77,1600000000,5",
    "1,13,4,1600000001,b",
)


@pytest.mark.parametrize("row", ["1,12,50,77,1600000000,5", "1,12,50,77", "1,12,3,1600000000,a,", "1", "1,12,3,x"])
def test_rows_of_other_widths_are_bad_rows(prepare, text, row):
    path = text("log.csv", RAGGED[0], RAGGED[1], row, RAGGED[3])
    with pytest.raises(
        InputError, match=r"line 3 of log\.csv: 5 columns are expected \(too few or too many cells\); 1 such"
    ):
        prepare(path)
    dataset = prepare(path, log_options={"bad_rows": "drop"}, split=NO_SPLIT)
    assert reasons(dataset) == {"too few or too many cells": 1}
    assert histories(dataset) == {1: [12, 13]}
    assert dataset.histories.times.tolist() == [1_600_000_000, 1_600_000_001]


def test_quoted_separators_and_line_breaks_are_no_other_widths(prepare, text):
    path = text(
        "log.csv",
        "user_id,item_id,timestamp,note",
        '1,5,1,"a,b"',
        '1,6,2,"two',
        'lines, and ""quotes"""',
        "1,7,3,c,d",
        "",
        "1,8,4,",
    )
    dataset = prepare(path, log_options={"bad_rows": "drop"}, split=NO_SPLIT)
    assert histories(dataset) == {1: [5, 6, 8]}
    assert reasons(dataset) == {"too few or too many cells": 1}


def test_a_quote_that_is_not_closed_is_refused(prepare, text):
    with pytest.raises(InputError, match="quote none"):
        prepare(text("log.csv", HEADER + ",note", '1,5,1,"a', "1,6,2,b"))


def test_blank_lines_say_nothing(prepare, text):
    path = text("log.csv", HEADER, "1,5,1", "", "1,6,2", "  ", "")
    assert histories(prepare(path, split=NO_SPLIT)) == {1: [5, 6]}


def test_ragged_rows_of_side_tables(prepare, text):
    items = text("items.csv", "item_id,kind,price", "5,a,1", "6,b", "7,c,3")
    with pytest.raises(
        InputError,
        match=r"line 3 of items\.csv has too few or too many cells for its 3 columns.*--item-table\.bad-rows drop",
    ):
        prepare([(1, 5, 1), (1, 6, 2)], items=items)
    dataset = prepare([(1, 5, 1), (1, 6, 2)], items=items, item_table=TableConfig(bad_rows="drop"), split=NO_SPLIT)
    assert dataset.manifest.side_tables["items"]["ragged"] == 1
    assert dataset.manifest.side_tables["items"]["rows"] == 3


def test_weights_below_the_minimum_are_too_low_and_not_unreadable(prepare, text):
    path = text("log.csv", HEADER + ",stars", "1,5,1,-1", "1,6,2,4", "1,7,3,2")
    dataset = prepare(path, log_options={"weight": "stars", "min_weight": 3.0}, split=NO_SPLIT)
    assert reasons(dataset) == {"weight too low": 2}
    with pytest.raises(InputError, match=r"row 1 of log\.csv: stars '-1' \(weight below 0\)"):
        prepare(path, log_options={"weight": "stars"})


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_added_in_a_later_file(prepare, tmp_path, ending):
    (tmp_path / "log").mkdir()
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "timestamp": [1, 2]})
    later = frame.select("timestamp", pl.lit("m").alias("device"), "item_id", "user_id")
    for name, part in (("a", frame), ("b", later)):
        path = tmp_path / "log" / f"{name}.{ending}"
        part.write_csv(path) if ending == "csv" else part.write_parquet(path)
    assert histories(prepare(tmp_path / "log", split=NO_SPLIT)) == {1: [5, 5, 6, 6]}
    with pytest.raises(InputError, match=rf"a\.{ending} has no column 'device'"):
        prepare(tmp_path / "log", log_options={"event": "device"})


def test_json_arrays(prepare, text):
    rows = [{"user_id": 1, "item_id": item, "timestamp": item} for item in (5, 6)]
    assert histories(prepare(text("log.json", json.dumps(rows)), split=NO_SPLIT)) == {1: [5, 6]}


def test_latin1_is_named_and_read(prepare, text):
    path = text("log.csv", HEADER, "zoé,5,1", "zoé,6,2", encoding="latin-1")
    with pytest.raises(
        InputError, match=r"log\.csv is not UTF-8 .* It looks like latin-1: pass --log\.encoding latin-1"
    ):
        prepare(path)
    assert histories(prepare(path, log_options={"encoding": "latin-1"}, split=NO_SPLIT)) == {"zoé": [5, 6]}


def test_gb18030_is_named_and_read(prepare, text):
    path = text("log.csv", HEADER, "张三,笔记本,1", "张三,电脑,2", encoding="gb18030")
    with pytest.raises(InputError, match="looks like gb18030"):
        prepare(path)
    dataset = prepare(path, log_options={"encoding": "gb18030"}, split=NO_SPLIT)
    assert histories(dataset) == {"张三": ["笔记本", "电脑"]}


@pytest.mark.parametrize(("name", "pack"), [("log.csv.gz", gzip.compress), ("log.csv.bz2", bz2.compress)])
def test_compressed_files(prepare, tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack((HEADER + "\n1,5,1\n1,6,2\n").encode()))
    assert histories(prepare(tmp_path / name, split=NO_SPLIT)) == {1: [5, 6]}


def test_a_minimum_count_above_every_count_is_refused(prepare, tmp_path):
    rows = [(user, item, item) for user in (1, 2, 3) for item in (5, 6, 7, 8)]
    with pytest.raises(InputError, match=r"min_count is 4, but no item has more than 3 training events.*at most 3"):
        prepare(rows, vocabulary={"min_count": 4})
    assert not (tmp_path / "out").exists()
    assert prepare(rows, vocabulary={"min_count": 3}).vocabulary.n_items == 2


def test_lists_of_whole_floats_are_values(prepare):
    items = pl.DataFrame({"item_id": [5, 6], "tags": [[1.0, 2.0], [2.0, None]]})
    features = SideFeaturesConfig(multi=("tags",))
    dataset = prepare([(1, 5, 1), (1, 6, 2)], split=NO_SPLIT, items=items, item_features=features)
    assert pl.read_parquet(dataset.folder / "item_features" / "values.parquet")["value"].to_list() == ["2", "1"]


def test_line_breaks_in_cells_of_a_file_without_header(prepare, text):
    path = text("log.csv", "1|5|1|^a|b^", "1|6|2|^two", "lines^", "1|7|3|c|d")
    columns = ("user_id", "item_id", "timestamp", "note")
    options = {"columns": columns, "separator": "|", "quote": "^", "bad_rows": "drop"}
    dataset = prepare(path, log_options=options, split=NO_SPLIT)
    assert histories(dataset) == {1: [5, 6]}
    assert reasons(dataset) == {"too few or too many cells": 1}


@pytest.mark.parametrize("kind", [pl.Duration("ms"), pl.Binary, pl.Date, pl.Boolean])
def test_ids_of_a_side_table_are_integers_or_text(kind):
    column = pl.Series(["0", "1"]).cast(pl.Binary) if kind == pl.Binary else pl.Series([0, 1]).cast(kind)
    with pytest.raises(InputError, match="ids are integers or text"):
        as_log_ids(column.alias("item_id"), pl.Int64(), ())


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["7", "12"])])
def test_ids_of_a_side_table_may_be_categories(kind):
    ids = as_log_ids(pl.Series("item_id", ["12", "7"]).cast(kind), pl.Int64(), ())
    assert ids.to_list() == [12, 7]


def test_durations_are_no_categories():
    with pytest.raises(InputError, match="categories are text or numbers"):
        value_texts(pl.Series([1]).cast(pl.Duration("ms")), "column 'age'", None, ())
