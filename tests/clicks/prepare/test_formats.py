"""The same eight events through every format give the same histories."""

import gzip
import json

import polars as pl
import pytest

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.errors import InputError

ROWS = [(7, 30, 50), (5, 10, 10), (7, 10, 20), (5, 20, 10), (7, 20, 20), (5, 30, 5), (6, 10, 1), (7, 40, 60)]
NAMES = ("user_id", "item_id", "timestamp")
EXPECTED = {5: [30, 10, 20], 6: [10], 7: [10, 20, 30, 40]}


def separated(separator, header=True, names=NAMES):
    lines = [separator.join(names)] if header else []
    return "\n".join(lines + [separator.join(map(str, row)) for row in ROWS]) + "\n"


def as_text(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def write(path):
    frame = pl.DataFrame(ROWS, schema=list(NAMES), orient="row")
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "arrow":
        frame.write_ipc(path)
    elif kind == "dat":
        lines = ["::".join(map(str, (user, item, 4, time))) for user, item, time in ROWS]
        as_text(path, "\n".join(lines) + "\n")
    elif kind == "jsonl":
        as_text(path, "".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in ROWS))
    elif kind == "inter":
        as_text(path, separated("\t", names=("user_id:token", "item_id:token", "timestamp:float")))
    else:
        as_text(path, separated("," if kind == "csv" else "\t"))


def histories(dataset):
    data, ids = dataset.histories, dataset.user_ids.to_list()
    return {
        user: dataset.ids(data.items[data.offsets[row] : data.offsets[row + 1]]).to_list()
        for row, user in enumerate(ids)
    }


NO_SPLIT = SplitConfig(kind="none")
FILES = ["parquet", "arrow", "csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "dat", "inter"]


@pytest.mark.parametrize("ending", FILES)
def test_every_format_gives_the_same_histories(prepare, tmp_path, ending):
    path = tmp_path / f"ratings.{ending}"
    write(path)
    dataset = prepare(path, split=NO_SPLIT)
    assert histories(dataset) == EXPECTED
    assert dataset.histories.times.tolist() == [5, 10, 10, 1, 20, 20, 50, 60]


def test_lines_are_users_with_items_in_order(prepare, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("5 30 10 20\n\n7\t10 20  30 40 \r\n6 10", encoding="utf-8")
    dataset = prepare(path, split=NO_SPLIT)
    assert histories(dataset) == EXPECTED
    assert not dataset.has_times
    assert dataset.histories.times.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]


def test_a_user_without_items_on_the_line_is_a_bad_row(prepare, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("5 30 10 20\n\n 6\n7 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 3 of log\.txt: item_id None \(no item\); 1 such rows"):
        prepare(path)
    dataset = prepare(path, log_options={"bad_rows": "drop"})
    assert dataset.manifest.filters[0]["reasons"] == {"no item": 1}


@pytest.mark.parametrize("how", ["folder", "glob"])
def test_files_are_read_in_the_order_of_their_names(prepare, tmp_path, how):
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, rows in (("b", ROWS[3:]), ("a", ROWS[:3])):
        pl.DataFrame(rows, schema=list(NAMES), orient="row").write_csv(folder / f"{name}.csv")
    (folder / "notes.md").write_text("not a log", encoding="utf-8")
    dataset = prepare(folder if how == "folder" else folder / "*.csv", split=NO_SPLIT)
    assert histories(dataset) == EXPECTED
    assert [file["name"] for file in dataset.manifest.log["files"]] == ["a.csv", "b.csv"]


def test_a_folder_of_several_kinds_is_refused(prepare, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for ending in ("csv", "parquet"):
        write(folder / f"log.{ending}")
    with pytest.raises(InputError, match=r"several kinds \(csv, parquet\)"):
        prepare(folder)


def test_bad_row_is_told_with_its_file(prepare, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("user_id,item_id,timestamp\n1,2,3\n1,2,4\n", encoding="utf-8")
    (folder / "b.csv").write_text("user_id,item_id,timestamp\n1,2,3\n1,2,soon\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 2 of b\.csv: timestamp 'soon'"):
        prepare(folder)


def test_movielens_side_tables(prepare, tmp_path):
    write(tmp_path / "ratings.dat")
    movies = (
        "10::Amélie (2001)::Comedy|Romance\n20::Heat (1995)::Crime\n30::Alien (1979)::Horror\n40::Up (2009)::Comedy\n"
    )
    (tmp_path / "movies.dat").write_bytes(movies.encode("latin-1"))
    features = SideFeaturesConfig(multi=("genres",))
    dataset = prepare(tmp_path / "ratings.dat", split=NO_SPLIT, items=tmp_path / "movies.dat", item_features=features)
    assert dataset.items.filter(item_id=10)["title"].item() == "Amélie (2001)"
    assert dataset.item_feature_sizes == {"genres": 2 + 4}


def test_recbole_columns_lose_their_types(prepare, tmp_path):
    write(tmp_path / "log.inter")
    (tmp_path / "log.item").write_text(
        "item_id:token\tclass:token_seq\n10\tA B\n20\tB\n30\tA\n40\t\n", encoding="utf-8"
    )
    features = SideFeaturesConfig(multi=("class",), separator=" ")
    dataset = prepare(tmp_path / "log.inter", split=NO_SPLIT, items=tmp_path / "log.item", item_features=features)
    assert dataset.items.columns == ["item_row", "item_id", "count", "class"]
    assert dataset.manifest.features["items"]["class"]["rows_with_a_value"] == 3


def test_columns_are_mapped_by_option(prepare, tmp_path):
    path = tmp_path / "log.csv"
    as_text(path, separated(",", names=("visitor", "product", "at")))
    with pytest.raises(InputError, match=r"no column 'user_id'; it has 'visitor', 'product', 'at'.*--log.user"):
        prepare(path)
    options = {"user": "visitor", "item": "product", "time": "at"}
    assert histories(prepare(path, log_options=options, split=NO_SPLIT)) == EXPECTED


def test_names_are_no_patterns(prepare, tmp_path):
    for kind in ("jsonl", "csv", "parquet"):
        write(tmp_path / f"we[ird].{kind}")
        assert histories(prepare(tmp_path / f"we[ird].{kind}", out=kind, split=NO_SPLIT)) == EXPECTED


@pytest.mark.parametrize("kinds", [(pl.Int32, pl.Int64), (pl.Int64, pl.Int32), (pl.UInt16, pl.Int32)])
def test_parts_may_hold_ids_of_several_widths(prepare, tmp_path, kinds):
    frame, folder = pl.DataFrame(ROWS, schema=list(NAMES), orient="row"), tmp_path / "parts"
    folder.mkdir()
    frame[:3].with_columns(pl.col("item_id").cast(kinds[0])).write_parquet(folder / "a.parquet")
    frame[3:].select(reversed(NAMES)).with_columns(pl.col("item_id").cast(kinds[1])).write_parquet(folder / "b.parquet")
    assert histories(prepare(folder, split=NO_SPLIT)) == EXPECTED
