"""Commands of stores: a run's items go in with their columns and texts, and are searched."""

import json

import polars as pl
import pytest

import recsys_bert as rb
from pipelines.cli import main
from recsys_bert.errors import InputError
from recsys_bert.stages.store_items import column_types

TINY = {"encoder": {"dim": 8, "n_heads": 1, "n_layers": 1, "max_len": 12}, "train": {"epochs": 1}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    clicks = pl.DataFrame(
        {
            "user_id": [user for user in range(40) for _ in range(6)],
            "item_id": [(user + 3 * n) % 30 for user in range(40) for n in range(6)],
            "timestamp": list(range(240)),
        }
    )
    items = pl.DataFrame(
        {
            "item_id": list(range(33)),  # the last three have no events, so no vectors
            "title": [f"{'red' if n % 3 else 'blue'} shoe {n}" for n in range(33)],
            "price": [None if n == 7 else float("nan") if n == 8 else n * 1.5 for n in range(33)],
            "genres": ["|".join(f"g{g}" for g in range(4) if n >> g & 1) for n in range(33)],
            "kind": [f"kind {n % 5}" for n in range(33)],
        }
    )
    features = {"categorical": ["kind"], "multi": ["genres"]}
    dataset = rb.prepare(clicks, items=items, item_features=features, out=folder / "data")
    rb.train_retrieval(dataset, out=folder / "run", **TINY)
    return folder


def load(trained, place, *flags):
    return main(
        ["store", "load", "--run", str(trained / "run"), "--data", str(trained / "data"), "--url", str(place), *flags]
    )


def search(capsys, place, *flags):
    capsys.readouterr()
    assert main(["store", "search", "--url", str(place), "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)["results"]


def test_a_run_goes_in_and_is_searched(trained, tmp_path, capsys):
    assert load(trained, tmp_path / "s", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["dim"]) == (30, 8)
    assert (
        summary["columns"] | {"price": "float", "genres": "tags", "kind": "str", "count": "int"} == summary["columns"]
    )
    model = rb.load(trained / "run", rb.open_dataset(trained / "data"))
    expected = model.similar([12], k=5, similarity="ip")["item_id"].to_list()
    (result,) = search(capsys, tmp_path / "s", "--items", "12", "--k", "5", "--show", "price", "kind")
    assert [one["item_id"] for one in result["items"]] == expected
    assert {"price", "kind", "title", "score"} <= set(result["items"][0])
    (result,) = search(capsys, tmp_path / "s", "--words", "BLUE", "--k", "20")
    assert sorted(one["item_id"] for one in result["items"]) == list(range(0, 30, 3))
    (result,) = search(
        capsys, tmp_path / "s", "--words", "shoe", "--filter", 'price < 9 and "g1" in genres', "--k", "9"
    )
    assert sorted(one["item_id"] for one in result["items"]) == [2, 3]
    (result,) = search(capsys, tmp_path / "s", "--items", "12", "--words", "blue shoe", "--k", "3")
    assert len(result["items"]) == 3
    with rb.open_store(tmp_path / "s") as store:
        assert store.count("price is missing") == 2
        (item,) = store.get([5])
        assert item.columns["genres"] == ["g0", "g2"]
        assert item.text == "red shoe 5"


def test_settings_choose_columns_texts_and_the_metric(trained, tmp_path, capsys):
    assert load(trained, tmp_path / "s", "--columns", "kind", "--texts", "kind", "title", "--metric", "cosine") == 0
    with rb.open_store(tmp_path / "s", metric="cosine") as store:
        assert dict(store.about.columns) == {"kind": "str"}
        assert store.get([3])[0].text == "kind 3 blue shoe 3"
    assert load(trained, tmp_path / "s") == 2
    assert "was made with metric 'cosine'" in capsys.readouterr().err
    assert (
        main(["store", "search", "--url", str(tmp_path / "s"), "--words", "kind", "--out", str(tmp_path / "l.csv")])
        == 0
    )
    assert pl.read_csv(tmp_path / "l.csv").height == 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--items", "99"], "1 items are not in the store: 99"),
        (["--items", "x"], "ids of this store are whole numbers"),
        (["--words", "shoe", "--filter", "price <"], "character 8"),
        (["--words", "shoe", "--show", "prise"], "did you mean 'price'"),
        (["--words", "shoe", "--k", "0"], "between 1 and 10,000"),
        ([], "give items or words"),
        (["--items", "1", "2", "--words", "a"], "2 items and 1 words"),
    ],
)
def test_bad_searches_are_refused(trained, tmp_path, capsys, flags, message):
    assert load(trained, tmp_path / "s") == 0
    assert main(["store", "search", "--url", str(tmp_path / "s"), *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--columns", "prise"], "did you mean 'price'"),
        (["--texts", "titel"], "did you mean 'title'"),
        (["--to", "postgres"], "does not answer|needs psycopg"),
    ],
)
def test_bad_loads_are_refused(trained, tmp_path, capsys, flags, message):
    url = "postgresql://postgres:secret@127.0.0.1:1/p" if "postgres" in flags else tmp_path / "s"
    assert load(trained, url, *flags) == 2
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))
    assert "secret" not in error


def test_a_store_of_another_run_is_not_mixed(trained, tmp_path):
    dataset = rb.open_dataset(trained / "data")
    rb.store_items(rb.load(trained / "run", dataset), tmp_path / "s").close()
    other = rb.train_retrieval(dataset, **(TINY | {"train": {"epochs": 1, "seed": 5}}))
    with pytest.raises(InputError, match="vectors of another run"):
        rb.store_items(other, tmp_path / "s")


def test_columns_that_no_store_can_hold_are_named(trained):
    dataset = rb.open_dataset(trained / "data")
    dataset.__dict__["items"] = dataset.items.with_columns(when=pl.lit(0).cast(pl.Date))
    assert "when" not in column_types(dataset)
    with pytest.raises(InputError, match="'when' of the items holds Date"):
        column_types(dataset, ["when"])
