import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.features_config import SideFeaturesConfig
from recsys_bert.clicks.prepare.scaling import LIMIT, Scaling, fit_numbers
from recsys_bert.errors import InputError
from recsys_bert.stages.append import append
from recsys_bert.stages.prepare import prepare as prepare_log

# items 0 … 4 are trained on, 5 and 6 are cold
LOG = [(user, item, 100 * user + position) for user in range(4) for position, item in enumerate((0, 1, 2, 3, 4))]
NUMBERS = [1.0, 2.0, None, 4.0, 5.0, 100.0, float("nan")]


def make(folder, rows=LOG, **settings):
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return prepare_log(events, out=folder, split={"kind": "none"}, **settings)


def catalogue(price=NUMBERS):
    return pl.DataFrame({"item_id": range(len(price)), "price": price})


def row_of(dataset, item):
    return int(dataset.rows([item])[0])


def test_numbers_are_scaled_by_trained_rows_alone(tmp_path):
    items = catalogue()
    dataset = make(tmp_path / "out", items=items, item_features={"numeric": ["price"], "numeric_as": "standard"})
    table = dataset.item_dense["price"]
    trained = np.array([1.0, 2.0, 4.0, 5.0])
    for item, price in enumerate(NUMBERS):
        row = row_of(dataset, item)
        known = price is not None and not np.isnan(price)
        scaled = np.clip((price - trained.mean()) / trained.std(), -LIMIT, LIMIT) if known else 0
        assert table.has[row] == known
        assert table.values[row, 0] == pytest.approx(scaled, abs=1e-6)
    assert not table.has[: dataset.vocabulary.first_item].any()
    assert isinstance(table.values, np.memmap)
    assert table.values.dtype == np.float32
    entry = dataset.manifest.dense["items"]["price"]
    assert (entry["rows_with_a_value"], entry["rows_without"], entry["clipped"], entry["width"]) == (5, 2, 1, 1)


@pytest.mark.parametrize(("rule", "oracle"), [("log", np.log1p), ("standard", np.asarray), ("rank", stats.rankdata)])
def test_scaled_numbers_are_standardised_images_of_the_rule(rule, oracle):
    numbers = np.random.default_rng(0).lognormal(size=500)
    scaled = fit_numbers(numbers, rule).apply(numbers)
    image = oracle(numbers)
    assert np.corrcoef(scaled, image)[0, 1] == pytest.approx(1, abs=2e-3)
    assert scaled.mean() == pytest.approx(0, abs=0.02)
    assert scaled.std() == pytest.approx(1, abs=0.02)


def test_auto_takes_the_logarithm_of_skewed_numbers_that_are_not_negative():
    random = np.random.default_rng(1)
    assert fit_numbers(random.lognormal(sigma=2, size=300), "auto").rule == "log"
    assert fit_numbers(random.normal(2000, 5, size=300), "auto").rule == "standard"
    assert fit_numbers(-random.lognormal(sigma=2, size=300), "auto").rule == "standard"


@pytest.mark.parametrize("numbers", [[], [3.0], [3.0, 3.0]])
@pytest.mark.parametrize("rule", ["auto", "standard", "log", "rank"])
def test_numbers_without_spread_stay_finite(numbers, rule):
    scaling = fit_numbers(np.array(numbers), rule)
    assert np.isfinite(scaling.apply(np.array([3.0, -1e9, 1e9]))).all()
    assert Scaling.of_text(scaling.to_text()) == scaling


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "2", "$3", "4"], r"id 2: '\$3' is not a finite number; 1 such rows"),
        ([1.0, float("inf"), -float("inf"), 2.0], r"id 1: inf is not a finite number; 2 such rows"),
        ([[1.0], [2.0], [3.0], [4.0]], r"one number a row. Name vectors under .vectors"),
    ],
)
def test_what_is_no_number_is_refused_with_its_id(tmp_path, cells, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "out", items=catalogue(cells), item_features={"numeric": ["price"]})
    assert not (tmp_path / "out").exists()


def test_what_is_no_number_is_counted_where_that_is_wanted(tmp_path, capsys):
    items = catalogue(["1", "2.5", "$3", "", " NA ", "9"])
    features = {"numeric": ["price"], "bad_numbers": "missing"}
    dataset = make(tmp_path / "out", items=items, item_features=features)
    entry = dataset.manifest.dense["items"]["price"]
    assert (entry["not_numbers"], entry["rows_with_a_value"], entry["rows_without"]) == (1, 3, 3)
    assert "feature items.price: numbers (standard), on 3 rows, 3 without (not numbers: 1)" in capsys.readouterr().err


def test_a_held_out_event_changes_no_scale(tmp_path):
    scales = []
    for price in (7.0, 7_000.0):
        rows = [*LOG, (0, 9, 10_000), (1, 9, 10_000)]
        items = pl.DataFrame({"item_id": [0, 1, 2, 9], "price": [1.0, 2.0, 3.0, price]})
        events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        dataset = prepare_log(events, out=tmp_path / str(price), items=items, item_features={"numeric": ["price"]})
        scales.append(dataset.manifest.dense["items"]["price"]["scaling"])
    assert scales[0] == scales[1]


def test_users_have_numbers_too(tmp_path):
    users = pl.DataFrame({"user_id": [0, 1, 3], "age": [20, 30, 40]})
    dataset = make(tmp_path / "out", users=users, user_features={"numeric": ["age"]})
    table = dataset.user_dense["age"]
    assert table.has.tolist() == [True, True, False, True]
    assert table.values[:, 0] == pytest.approx([-1.2247, 0, 0, 1.2247], abs=1e-4)


def vectors(n=7, width=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def write(form, folder, ids, values):
    frame = pl.DataFrame({"item_id": ids, "vector": pl.Series(values.tolist())})
    if form == "lists":
        frame.write_parquet(folder / "title.parquet")
    elif form == "columns":
        columns = {f"v{number}": column for number, column in enumerate(values.T)}
        pl.DataFrame({"item_id": ids, **columns}).write_parquet(folder / "title.parquet")
    elif form == "text":
        pl.DataFrame({"item_id": ids, "vector": [str(row) for row in values.tolist()]}).write_csv(folder / "title.csv")
    else:
        np.save(folder / "title.npy", values)
        frame.select("item_id").write_csv(folder / "title_ids.csv")
    return next(path for path in folder.glob("title.*"))


@pytest.mark.parametrize("form", ["lists", "columns", "text", "npy"])
def test_vectors_come_from_files_by_their_ids(tmp_path, form):
    ids, values = [6, 4, 2, 0, 77], vectors(5)
    file = write(form, tmp_path, ids, values)
    items = pl.DataFrame({"item_id": range(7)})
    dataset = make(tmp_path / "out", items=items, item_features={"vectors": [f"title={file}"]})
    table, rms = dataset.item_dense["title"], np.sqrt((values[1:4] ** 2).mean())  # of the trained items
    for item in range(7):
        row = row_of(dataset, item)
        assert table.has[row] == (item in ids)
        expected = values[ids.index(item)] / rms if item in ids else np.zeros(3)
        assert table.values[row] == pytest.approx(expected, rel=1e-5)
    entry = dataset.manifest.dense["items"]["title"]
    assert (entry["of_unknown_ids"], entry["rows_without"], entry["width"]) == (1, 3, 3)


def test_vectors_of_a_column_leave_the_table(tmp_path):
    items = pl.DataFrame({"item_id": [0, 1], "title": ["x", "y"], "emb": [[1.0, 2.0], [3.0, 4.0]]})
    dataset = make(tmp_path / "out", items=items, item_features={"vectors": ["emb"]})
    assert dataset.items.columns == ["item_row", "item_id", "count", "title"]
    assert dataset.item_dense["emb"].values.shape == (dataset.n_rows, 2)
    assert "item features emb" in repr(dataset)


@pytest.mark.parametrize(
    ("ids", "values", "message"),
    [
        ([0, 1, 2], [[1.0, 2.0], [1.0, 2.0], [1.0]], "1 vectors have not the width 2 of most, 0 hold NaN.*id 2"),
        ([0, 1, 2], [[1.0, 2.0], [1.0, float("nan")], [1.0, 3.0]], "0 vectors have not.*1 hold NaN.*id 1"),
        ([0, 1, 2], [[1.0, 2.0], None, [float("inf"), 3.0]], "1 hold NaN.*id 2"),
        ([90, 91, 92], [[1.0], [2.0], [3.0]], "no id of title.parquet is in the log.*90"),
        (["a", "b", "c"], [[1.0], [2.0], [3.0]], "is of the log's type"),
        ([0, 1, 2], [[], [], []], "holds no vector at all"),
        ([0, 1, 2], ["x", "y", "z"], "holds no vectors besides its ids: its other columns are vector"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, ids, values, message):
    file = tmp_path / "title.parquet"
    pl.DataFrame({"item_id": ids, "vector": pl.Series("vector", values, strict=False)}).write_parquet(file)
    with pytest.raises(InputError, match=message):
        make(tmp_path / "out", item_features={"vectors": [f"title={file}"]})


def test_vectors_that_do_not_fit_are_counted_where_that_is_wanted(tmp_path):
    file, values = tmp_path / "title.parquet", [[1.0, 2.0], [1.0], [1.0, float("nan")], [4.0, 5.0], None]
    pl.DataFrame({"item_id": range(5), "vector": values}, strict=False).write_parquet(file)
    dataset = make(tmp_path / "out", item_features={"vectors": [f"title={file}"], "bad_numbers": "missing"})
    entry = dataset.manifest.dense["items"]["title"]
    counts = {name: entry[name] for name in ("of_another_width", "not_finite", "missing", "rows_with_a_value")}
    assert counts == {"of_another_width": 1, "not_finite": 1, "missing": 1, "rows_with_a_value": 2}


@pytest.mark.parametrize("lost", ["title.npy", "title_ids.csv"])
def test_a_missing_half_of_an_array_is_named(tmp_path, lost):
    file = write("npy", tmp_path, range(7), vectors())
    (tmp_path / lost).unlink()
    with pytest.raises(InputError, match=f"{lost} is missing"):
        make(tmp_path / "out", item_features={"vectors": [f"title={file}"]})


def test_an_empty_array_is_refused(tmp_path):
    (tmp_path / "emb.npy").write_bytes(b"")
    (tmp_path / "emb_ids.csv").write_text("item_id\n1\n")
    with pytest.raises(InputError, match=r"emb\.npy cannot be read"):
        make(tmp_path / "out", item_features={"vectors": [f"emb={tmp_path / 'emb.npy'}"]})


def test_a_shorter_list_of_ids_is_refused(tmp_path):
    file = write("npy", tmp_path, range(7), vectors())
    (tmp_path / "title_ids.csv").write_text("item_id\n1\n2\n")
    with pytest.raises(InputError, match=r"has 7 vectors, title_ids.csv 2 ids"):
        make(tmp_path / "out", item_features={"vectors": [f"title={file}"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"numeric": ["price"]}, "item_features names columns, but there is no table of items"),
        ({"vectors": ["emb"]}, "item_features names columns, but there is no table of items"),
        ({"vectors": ["=x"]}, "NAME=FILE"),
        ({"vectors": ["emb=a", "emb=b"]}, "emb is named twice"),
        ({"numeric_as": "log"}, "item_features.numeric_as is 'log', but item_features.numeric names no column"),
        ({"bad_numbers": "missing"}, "item_features.bad_numbers is 'missing'"),
    ],
)
def test_settings_that_nothing_reads_are_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "out", item_features=settings)


def test_a_categorical_column_of_many_numbers_is_pointed_out(tmp_path, capsys):
    n = 1_200
    items = pl.DataFrame({"item_id": range(n), "price": np.arange(n) / 7, "kind": [f"k{i}" for i in range(n)]})
    make(tmp_path / "out", items=items, item_features={"categorical": ["price", "kind"]})
    lines = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(lines) == 1
    assert "column 'price'" in lines[0]
    assert "1,200 distinct numbers" in lines[0]
    assert "item_features.numeric" in lines[0]


FEATURES = {"numeric": ["price"], "vectors": ["emb"]}


def table_of(ids, seed=0):
    ids = list(ids)
    return pl.DataFrame({"item_id": ids, "price": [i + 1.0 for i in ids], "emb": vectors(99)[ids].tolist()})


def raw(dataset, name, item):
    table = dataset.item_dense[name]
    row = row_of(dataset, item)
    scaling = json.loads(dataset.manifest.dense["items"][name]["scaling"])
    return np.asarray(table.values[row]) * scaling["std"] + scaling["mean"] if table.has[row] else None


def test_a_grown_log_keeps_the_scale_and_an_earlier_run_reads_it(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    rows = [*LOG, (0, 8, 900), (1, 8, 900), (2, 8, 900)]
    items = table_of([*range(6), 8])
    new = make(tmp_path / "new", rows, items=items, item_features=FEATURES, vocabulary={"of": old})
    for name in ("price", "emb"):
        entries = [one.manifest.dense["items"][name]["scaling"] for one in (old, new)]
        assert entries[0] == entries[1]
        assert raw(new, name, 8) == pytest.approx(np.atleast_1d(items[name][-1]), rel=1e-5)
    view = new.known_to(old.fingerprint)
    assert view.item_dense.keys() == {"price", "emb"}
    assert view.item_dense["emb"].values.shape[0] == new.n_rows
    alone = make(tmp_path / "alone", rows, items=items, item_features=FEATURES)
    assert alone.manifest.dense["items"]["price"]["scaling"] != new.manifest.dense["items"]["price"]["scaling"]
    with pytest.raises(InputError, match="did not grow from it"):
        alone.known_to(old.fingerprint)


@pytest.mark.parametrize("name", ["emb", "price"])
def test_other_vectors_or_numbers_are_another_log_though_their_scale_is_the_same(tmp_path, name):
    items = table_of(range(6))
    swapped = items.with_columns(price=pl.Series([2.0, 1.0, *items["price"][2:]]))
    turned = items.with_columns(emb=pl.Series((-vectors(99)[:6]).tolist()))
    logs = [
        make(tmp_path / f"{number}", items=table, item_features=FEATURES)
        for number, table in enumerate((items, items, swapped if name == "price" else turned))
    ]
    assert logs[0].manifest.dense["items"][name]["scaling"] == logs[2].manifest.dense["items"][name]["scaling"]
    assert logs[0].fingerprint == logs[1].fingerprint != logs[2].fingerprint
    with pytest.raises(InputError, match="did not grow from it"):
        logs[2].known_to(logs[0].fingerprint)


def test_other_numbers_of_users_are_another_log(tmp_path):
    ages = [
        {"users": pl.DataFrame({"user_id": [0, 1, 2], "age": age}), "user_features": {"numeric": ["age"]}}
        for age in ([1.0, 2.0, 4.0], [2.0, 1.0, 4.0])
    ]
    one, other = (make(tmp_path / f"{number}", **side) for number, side in enumerate(ages))
    assert one.fingerprint != other.fingerprint


def test_appended_numbers_leave_runs_of_the_earlier_state_valid(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    today = pl.DataFrame({"user_id": [0], "item_id": [1], "timestamp": [10_000]})
    new = append(old, today, items=table_of([0]).with_columns(price=9.5), out=tmp_path / "new")
    assert new.fingerprint != old.fingerprint
    view = new.known_to(old.fingerprint)
    assert view.fingerprint == old.fingerprint
    assert raw(view, "price", 0) == pytest.approx([9.5], rel=1e-5)  # today's number, on the scale of then
    assert view.n_new_items == 0


def test_a_feature_that_came_later_is_not_known_earlier(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features={"numeric": ["price"]})
    settings = {"item_features": FEATURES, "vocabulary": {"of": old}}
    new = make(tmp_path / "new", items=table_of(range(6)), **settings)
    assert list(new.known_to(old.fingerprint).item_dense) == ["price"]


@pytest.mark.parametrize(
    ("features", "message"),
    [({"numeric": ["price"]}, "has the feature 'emb' of items"), ({"vectors": ["emb"]}, "has the feature 'price'")],
)
def test_a_grown_log_keeps_its_features(tmp_path, features, message):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    with pytest.raises(InputError, match=message):
        make(tmp_path / "new", items=table_of(range(6)), item_features=features, vocabulary={"of": old})


def test_a_grown_log_keeps_the_width(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    items = table_of(range(6)).with_columns(emb=pl.Series(vectors(6, width=4).tolist()))
    with pytest.raises(InputError, match="'emb' is vectors of width 4 here, but vectors of width 3"):
        make(tmp_path / "new", items=items, item_features=FEATURES, vocabulary={"of": old})


@pytest.mark.parametrize("form", ["column", "file"])
def test_appending_adds_vectors_and_keeps_the_others(tmp_path, form):
    file = tmp_path / "emb.parquet"
    table_of(range(6)).select("item_id", vector="emb").write_parquet(file)
    features = FEATURES if form == "column" else {**FEATURES, "vectors": [f"emb={file}"]}
    items = table_of(range(6)) if form == "column" else table_of(range(6)).drop("emb")
    old = make(tmp_path / "old", items=items, item_features=features)
    file.unlink()  # what was read once is in the folder
    today = pl.DataFrame([(0, 8, 900), (1, 9, 900)], schema=["user_id", "item_id", "timestamp"], orient="row")
    arrived = table_of([1, 8]).with_columns(emb=pl.Series([[9.0, 9.0, 9.0], [1.0, 2.0, 3.0]]))
    if form == "column":
        settings = {"items": arrived}
    else:
        arrived.select("item_id", vector="emb").write_parquet(tmp_path / "today.parquet")
        settings = {"item_vectors": [f"emb={tmp_path / 'today.parquet'}"], "items": arrived.drop("emb")}
    new = append(old, today, out=tmp_path / "new", **settings)
    assert raw(new, "emb", 8) == pytest.approx([1, 2, 3], rel=1e-5)
    assert raw(new, "emb", 1) == pytest.approx([9, 9, 9], rel=1e-5)
    assert raw(new, "emb", 5) == pytest.approx(vectors(99)[5], rel=1e-5)
    assert raw(new, "emb", 9) is None
    assert raw(new, "price", 8) == pytest.approx([9.0], rel=1e-5)
    assert raw(new, "price", 4) == pytest.approx([5.0], rel=1e-5)
    assert new.known_to(old.fingerprint).item_dense.keys() == {"price", "emb"}


def test_appending_vectors_of_an_unknown_feature_is_refused(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    today = pl.DataFrame([(0, 1, 900)], schema=["user_id", "item_id", "timestamp"], orient="row")
    with pytest.raises(InputError, match=r"item_vectors names 'title'; .* has the vectors emb"):
        append(old, today, out=tmp_path / "new", item_vectors=["title=x.parquet"])
    with pytest.raises(InputError, match="is not NAME=FILE"):
        append(old, today, out=tmp_path / "new", item_vectors=["emb"])


def test_appending_vectors_of_another_width_is_refused(tmp_path):
    old = make(tmp_path / "old", items=table_of(range(6)), item_features=FEATURES)
    today = pl.DataFrame([(0, 1, 900)], schema=["user_id", "item_id", "timestamp"], orient="row")
    pl.DataFrame({"item_id": [1], "vector": [[1.0, 2.0]]}).write_parquet(tmp_path / "narrow.parquet")
    with pytest.raises(InputError, match="vectors of 'emb' are 2 wide, but those of the folder 3"):
        append(old, today, out=tmp_path / "new", item_vectors=[f"emb={tmp_path / 'narrow.parquet'}"])


def test_a_damaged_table_is_noticed(tmp_path):
    make(tmp_path / "out", items=table_of(range(6)), item_features=FEATURES)
    path = tmp_path / "out" / "item_dense" / "0.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"0\.npy is damaged"):
        open_dataset(tmp_path / "out")


def test_a_setting_names_a_feature_once():
    with pytest.raises(InputError, match="price is named twice"):
        SideFeaturesConfig(categorical=("price",), numeric=("price",))
