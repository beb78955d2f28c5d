"""``prepare`` from Python: frames and paths give the same dataset as the command."""

import gc

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipelines.cli import main
from recsys_bert.errors import InputError
from recsys_bert.stages.prepare import PrepareConfig, prepare

EVENTS = {
    "user_id": [1, 1, 1, 1, 2, 2, 2, 3],
    "item_id": ["a", "b", "c", "a", "b", "a", "c", "b"],
    "timestamp": [10, 20, 30, 40, 5, 6, 7, 1],
}
ITEMS = {"item_id": ["a", "b", "d"], "kind": ["x", "y", "y"]}
FEATURES = {"categorical": ("kind",)}
FRAMES = {
    "polars": pl.DataFrame,
    "lazy": pl.LazyFrame,
    "pyarrow": pa.table,
    "dict": dict,
}


def same(one, other):
    assert one.fingerprint == other.fingerprint
    for name in ("items", "times", "offsets", "train_end", "validation_end"):
        np.testing.assert_array_equal(getattr(one.histories, name), getattr(other.histories, name))
    assert one.items.equals(other.items)
    assert one.users.equals(other.users)


@pytest.fixture
def from_files(tmp_path):
    pl.DataFrame(EVENTS).write_parquet(tmp_path / "log.parquet")
    pl.DataFrame(ITEMS).write_parquet(tmp_path / "items.parquet")
    return prepare(
        tmp_path / "log.parquet", items=str(tmp_path / "items.parquet"), out=tmp_path / "out", item_features=FEATURES
    )


@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_gives_the_same_dataset_as_a_file(from_files, library):
    build = FRAMES[library]
    same(prepare(build(EVENTS), items=build(ITEMS), item_features=FEATURES), from_files)


def test_pandas_frames_are_read(from_files):
    pandas = pytest.importorskip("pandas")
    same(prepare(pandas.DataFrame(EVENTS), items=pandas.DataFrame(ITEMS), item_features=FEATURES), from_files)


def test_the_command_writes_the_same_folder(from_files, tmp_path):
    flags = ["--items", str(tmp_path / "items.parquet"), "--item-features.categorical", "kind"]
    command = ["prepare", "--events", str(tmp_path / "log.parquet"), "--out", str(tmp_path / "command"), *flags]
    assert main(command) == 0
    files = sorted(path.relative_to(from_files.folder) for path in from_files.folder.rglob("*") if path.is_file())
    assert len(files) >= 7
    for file in files:
        if file.name not in ("manifest.json", "checksums.sha256"):  # it names the settings of each
            assert (tmp_path / "command" / file).read_bytes() == (from_files.folder / file).read_bytes(), file


def test_columns_are_named_in_the_call():
    renamed = pl.DataFrame(EVENTS).rename({"user_id": "uid", "timestamp": "ts"})
    dataset = prepare(renamed, log={"user": "uid", "time": "ts"})
    same(dataset, prepare(EVENTS))
    assert dataset.manifest.log["files"][0]["name"] == "events"


def test_a_temporary_folder_lives_as_long_as_the_dataset():
    dataset = prepare(EVENTS)
    folder = dataset.folder
    assert (folder / "manifest.json").exists()
    del dataset
    gc.collect()
    assert not folder.parent.exists()


def test_datetimes_and_categories_of_a_frame_are_read():
    frame = pl.DataFrame(EVENTS).with_columns(
        pl.from_epoch("timestamp", time_unit="s").dt.cast_time_unit("ns"), pl.col("item_id").cast(pl.Categorical)
    )
    same(prepare(frame), prepare(EVENTS))


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            lambda frame: frame.rename({"timestamp": "ts"}),
            {},
            r"events has no column 'timestamp'; it has 'user_id', 'item_id', 'ts'. Name yours with "
            r"log=\{'time': 'NAME'\}. Pass log=\{'time': None\} if the log has no times.",
        ),
        (
            lambda frame: frame.with_columns(timestamp=pl.Series([1, None] * 4)),
            {},
            r"row 2 of events: timestamp None \(no time\); 4 such rows in all.*log=\{'bad_rows': 'drop'\}",
        ),
        (lambda frame: frame.clear(), {}, "events holds no events"),
        (lambda frame: frame.rows(), {}, "events is a list; a table is needed"),
        (lambda frame: frame, {"logs": {}}, "no setting is called 'logs'"),
        (lambda frame: frame, {"config": PrepareConfig(), "split": {"kind": "none"}}, "settings came twice"),
        (lambda frame: frame, {"item_features": FEATURES}, "no table of items"),
        (lambda frame: frame, {"items": pl.DataFrame({"a": ["a"]}), "item_features": FEATURES}, "items has no column"),
    ],
)
def test_what_cannot_be_prepared_is_refused(change, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(change(pl.DataFrame(EVENTS)), **settings)
