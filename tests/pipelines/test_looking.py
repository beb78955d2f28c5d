"""Commands that write pages to look at: map of items, attention of histories and texts."""

import json
import re

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from nlp_tasks import Classifier, TextEncoder
from nlp_tasks.attention import show_attention as show_text_attention
from pipelines.cli import main
from recsys_bert.stages.attention import show_attention

ENCODER = {"dim": 8, "n_heads": 2, "n_layers": 2, "max_len": 12}
NASTY = "<img src=x onerror=alert(1)></script>"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looking")
    clicks = pl.DataFrame(
        {
            "user_id": [user for user in range(60) for _ in range(8)],
            "item_id": [f"i{10 * (user % 3) + (3 * n + user) % 10}" for user in range(60) for n in range(8)],
            "timestamp": list(range(480)),
        }
    )
    items = pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(33)],  # the last three have no events, so no vectors
            "title": [NASTY if n == 3 else f"shoe {n}" for n in range(33)],
            "price": [float(n) if n % 7 else None for n in range(33)],
            "kind": [f"kind {n // 10}" for n in range(33)],
        }
    )
    dataset = rb.prepare(clicks, items=items, item_features={"categorical": ["kind"]}, out=folder / "data")
    towers = {**ENCODER, "fusion": "token_mix"}
    rb.train_retrieval(dataset, out=folder / "towers", encoder=towers, train={"epochs": 3})
    rb.pretrain(dataset, objective="masked", out=folder / "masked", encoder=ENCODER, train={"epochs": 1})
    texts = ["the match ended three to one", "shares fell on weak earnings"] * 12
    settings = {"encoder": {"dim": 8, "n_layers": 1, "n_heads": 2}, "train": {"epochs": 1}}
    Classifier.train(texts, ["sport", "business"] * 12, **settings).save(folder / "classifier")
    pl.DataFrame({"text": texts, "label": ["sport", "business"] * 12}).write_csv(folder / "labelled.csv")
    return folder


def page_data(file):
    page = file.read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert not re.search(r"(src|href)\s*=|https?://|@import|url\(", page.replace("\\u003cimg src=x", ""))
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def look(trained, command, *flags, run="towers"):
    data = [] if "--text" in flags else ["--data", str(trained / "data")]
    return main([command, "--run", str(trained / run), *data, *map(str, flags)])


def test_a_map_holds_every_item_with_its_columns_and_neighbours(trained, tmp_path):
    files = ["--atlas", tmp_path / "atlas.parquet", "--projector", tmp_path / "projector"]
    assert look(trained, "map", "--out", tmp_path / "map.html", "--colour", "kind", "--neighbours", 4, *files) == 0
    data = page_data(tmp_path / "map.html")
    assert (len(data["ids"]), data["colour"]) == (30, "kind")
    assert NASTY in data["titles"]
    assert {"price", "kind", "count"} <= set(data["columns"])
    assert data["columns"]["kind"]["values"] == ["kind 0", "kind 1", "kind 2"]
    atlas = pl.read_parquet(tmp_path / "atlas.parquet")
    model = rb.load(trained / "towers", rb.open_dataset(trained / "data"))
    assert atlas["item_id"].to_list() == model.item_vectors()["item_id"].to_list() == data["ids"]
    nearest = [atlas["item_id"][n] for n in atlas["neighbors"][5]["ids"]]
    assert nearest == model.similar([atlas["item_id"][5]], k=4)["item_id"].to_list()
    vectors = np.loadtxt(tmp_path / "projector" / "vectors.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, model.item_vectors()["vector"].to_numpy(), rtol=1e-5)
    lines = (tmp_path / "projector" / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 31
    assert len({line.count("\t") for line in lines}) == 1


@pytest.mark.parametrize(("run", "events"), [("towers", 8), ("masked", 9)])
def test_histories_are_looked_into(trained, tmp_path, capsys, run, events):
    flags = ["--users", "4", "5", "--probe", "kind", "--json", "--out", tmp_path / "a.html"]
    assert look(trained, "attention", *flags, run=run) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["cases"], summary["layers"], summary["heads"]) == (2, 2, 2)
    assert summary["probes"][0] > 0.9  # an item's embedding tells its kind
    data = page_data(tmp_path / "a.html")
    first = data["cases"][0]
    assert len(first["tokens"]) == events
    assert (first["tokens"][-1] == "[next?]") == (run == "masked")
    assert [one["heads"] for one in first["attention"]] == [2, 2]
    assert (first["fusion"] is None) == (run == "masked")
    model = rb.load(trained / run, rb.open_dataset(trained / "data"))
    best = model.recommend([4], k=5, exclude_seen=False)["title"].to_list()
    if run == "masked":  # its fusion is the last layer
        assert [name for name, _ in first["nearest"][-1]] == best
        assert "fusion 'last' has no weights" in data["missing"][0]
    assert len(first["nearest"]) == 3


def test_settings_of_histories_have_an_effect(trained, tmp_path):
    model = rb.load(trained / "towers", rb.open_dataset(trained / "data"))
    pages = set()
    for settings in ({}, {"k": 2}, {"max_len": 3}, {"probe": "kind"}, {"probe": "price"}, {"probe": "kind", "seed": 1}):
        show_attention(model, tmp_path / "a.html", histories=[["i3", "i4", "i5", "i6"]], **settings)
        pages.add((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert len(pages) >= 5  # two seeds may draw the same: all users fit


def test_texts_are_looked_into(trained, tmp_path, capsys):
    flags = ["--text", "the weak match", NASTY, "--probe-file", trained / "labelled.csv", "--json"]
    assert look(trained, "attention", *flags, "--out", tmp_path / "t.html", run="classifier") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["cases"], summary["layers"]) == (2, 1)
    assert len(summary["probes"]) == 2
    data = page_data(tmp_path / "t.html")
    assert data["cases"][0]["tokens"][1:-1] != []
    assert data["cases"][1]["title"] == NASTY
    assert data["probe"]["classes"] == 2


@pytest.mark.parametrize(
    ("texts", "labelled", "message"),
    [
        ("a match", None, "texts is a single string"),
        ([], None, "give a text to look at"),
        (["a match"], (["a match"], []), "1 texts and 0 labels"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(trained, tmp_path, texts, labelled, message):
    encoder = TextEncoder.load(trained / "classifier")
    with pytest.raises(rb.InputError, match=message):
        show_text_attention(encoder, texts, tmp_path / "t.html", labelled=labelled)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("map", ["--out", "m.html", "--colour", "knid"], "did you mean 'kind'"),
        ("map", ["--out", "m.txt"], "ends in .html"),
        ("map", ["--out", "m.html", "--perplexity", "99"], "perplexity is 99"),
        ("map", ["--out", "m.html", "--neighbours", "0"], "neighbours is 0"),
        ("attention", ["--out", "a.html", "--users", "999"], "1 users have no events"),
        ("attention", ["--out", "a.html", "--users", "4", "--probe", "knid"], "did you mean 'kind'"),
        ("attention", ["--out", "a.html", "--users", "4", "--max-len", "0"], "max_len is 0"),
        ("attention", ["--out", "a.html"], "give one of users, history and text"),
        ("attention", ["--out", "a.html", "--history", "i1", "--probe-file", "x.csv"], "probe_file is for texts"),
        ("attention", ["--out", "a.html", "--text", "x", "--k", "3"], "texts have no nearest items"),
    ],
)
def test_bad_requests_are_refused(trained, tmp_path, capsys, command, flags, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert look(trained, command, *flags) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
