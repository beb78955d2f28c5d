"""The page and the requests that it needs beside the others."""

import base64
import json
import re
import threading
import time

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from pipelines.serve import Config
from pipelines.serving import static
from pipelines.serving.map_settings import MapSettings
from recsys_bert.errors import InputError

NASTY = '<img src=x onerror=alert(1)>\u202e</script>"&\x1b[0m'


@pytest.fixture(scope="module")
def shop(tmp_path_factory, opened):
    """A service over a log of hostile ids, titles and values."""
    folder = tmp_path_factory.mktemp("shop")
    ids = [NASTY, *(f"i{n}" for n in range(13))]  # the last one has no events
    clicks = pl.DataFrame(
        {
            "user_id": [f"u{user}" if user else NASTY for user in range(40) for _ in range(6)],
            "item_id": [
                (NASTY, *(f"i{n}" for n in range(12)))[(user + n) % 13] for user in range(40) for n in range(6)
            ],
            "timestamp": list(range(240)),
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ids,
            "title": [NASTY, *(f"Red shoe {n}" if n % 2 else f"blue HAT {n}" for n in range(13))],
            "kind": [NASTY, *(f"kind {n % 3}" for n in range(13))],
            "price": [None, *(float(n) for n in range(13))],
            "year": [2000 + n % 3 for n in range(14)],
            "tags": [["a", f"t{n % 2}"] for n in range(14)],
        }
    )
    features = {"text": ["title"], "categorical": ["kind"], "multi": ["tags"]}
    dataset = rb.prepare(clicks, items=items, item_features=features, out=folder / "data")
    encoder = {"dim": 8, "n_layers": 2, "n_heads": 2, "max_len": 8, "fusion": "token_mix"}
    towers = rb.train_retrieval(dataset, encoder=encoder, train={"epochs": 1}, out=folder / "towers")
    rb.item_vectors(dataset, by="tfidf", out=folder / "vectors")
    rb.fuse([towers], dataset, text=folder / "vectors", out=folder / "fused")
    runs = (str(folder / "towers"), str(folder / "fused"))
    config = Config(runs=runs, data=folder / "data", item_vectors=folder / "vectors", map=MapSettings(sample=9))
    http = opened(config)
    http.folder = folder
    return http


def floats(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def laid_out(http, **body):
    for _ in range(600):
        answer = http.ok("/map", **body)
        if answer["state"] == "ready":
            return answer
        time.sleep(0.05)
    raise AssertionError("no layout")


def test_every_file_of_the_page_is_served_without_a_key_and_reaches_no_other_place(text_runs, opened):
    locked = opened(Config(runs=(str(text_runs / "words"),)), key="0123456789abcdef")
    assert locked("POST", "/classify", json={"texts": ["a"]}).status_code == 401
    loaded = {"/docs"}
    for path in static.PATHS:
        response = locked("GET", path)
        assert response.status_code == 200
        source = response.text.replace("http://www.w3.org", "")
        assert not re.search(r"https?://|//cdn|@import|url\(", source), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        links = re.findall(r'(?:src|href)="([^"#:]+)"|from "\./([\w.]+)"', source)
        loaded |= {f"/{link}" if link else f"/page/{module}" for link, module in links}
    assert loaded - set(static.PATHS) == {"/openapi.json"}
    assert set(static.PATHS) - loaded == {"/"}  # each file is used
    page = locked("GET", "/").text
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", page)  # nothing that the policy would block
    assert locked("GET", "/page/../guard.py").status_code in (401, 404)


def test_every_control_of_the_page_has_a_name():
    page = (static.files("pipelines.serving") / "page/index.html").read_text(encoding="utf-8")
    inside = re.sub(r"<label.*?</label>", "", page, flags=re.S)
    for control in re.findall(r"<(?:input|select|textarea)[^>]*>", inside):
        assert "aria-label=" in control, control
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:aria-controls|aria-labelledby|list)="([^"]+)"', page)
    assert set(used) <= set(ids)
    for path, (package, name) in static._FILES.items():
        if path.endswith(".js") and path.startswith("/page"):
            source = static.files(package).joinpath(name).read_text(encoding="utf-8")
            named = set(re.findall(r'(?:byId|find|fillSelect|onSubmit|fillSuggestions)\("([\w-]+)"', source))
            assert named <= set(ids), path


def test_the_catalogue_says_what_can_be_asked(shop):
    answer = shop.ok("/catalogue")
    assert (answer["run"], answer["items"], answer["users"], answer["text_column"]) == ("towers", 14, 40, "title")
    assert (answer["words"], answer["store"], answer["durable"]) == (True, False, False)
    columns = {column["name"]: column for column in answer["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == {
        "title": "text",
        "kind": "text",
        "price": "number",
        "year": "number",
        "tags": "tags",
    }
    assert columns["kind"]["n_values"] == 4
    assert NASTY in [value["value"] for value in columns["kind"]["values"]]
    assert columns["price"]["values"] == []
    assert columns["year"]["values"][0] == {"value": "2000", "items": 5}
    assert columns["tags"]["values"][0] == {"value": "a", "items": 14}
    assert shop.ok("/items/find", only={"year": ["2001"]})["total"] == 5  # values are those that lists take


def test_items_are_found_by_parts_of_words(shop):
    answer = shop.ok("/items/find", query="SHOE red", k=3)
    assert (len(answer["items"]), answer["total"]) == (3, 6)
    events = [item["events"] for item in answer["items"]]
    assert events == sorted(events, reverse=True)
    assert shop.ok("/items/find", query="i1")["items"][0]["item_id"] == "i1"  # the id itself before i10, i11, i12
    first = shop.ok("/items/find", query="onerror=")["items"][0]
    assert (first["item_id"], first["title"], first["columns"]["kind"]) == (NASTY, NASTY, NASTY)
    assert shop.ok("/items/find", query=".*")["total"] == 0  # no pattern
    assert shop.ok("/items/find", query="shoe", only={"kind": "kind 1"}, without=["i1"])["total"] == 1
    assert shop.ok("/items/find")["total"] == 14
    assert "1,000" in shop.refused("/items/find", k=1001)
    got = shop.ok("/items/get", items=["i3", "nobody"])
    assert (got["unknown"], got["items"][0]["columns"]) == (
        1,
        {"kind": "kind 0", "price": 3.0, "year": 2001, "tags": ["a", "t0"]},
    )


def test_users_and_their_events(shop):
    answer = shop.ok("/users/find", query="u1", k=2)
    assert [user["user_id"] for user in answer["users"]] == ["u1", "u10"]
    assert answer["total"] == 11
    before = shop.ok("/users/history", user_id="u3")
    assert (before["in_log"], before["total"], before["events"][0]["live"]) == (True, 6, False)
    lists = shop.ok("/recommend", user_id="u3", k=2)["lists"][0]["items"]
    clicked = lists[0]["item_id"]
    assert shop.ok("/events", events=[{"user_id": "u3", "item_id": clicked, "timestamp": 999}])["accepted"] == 1
    after = shop.ok("/users/history", user_id="u3", k=2)
    assert (after["total"], len(after["events"])) == (7, 2)
    assert after["events"][-1] == {
        "item_id": clicked,
        "title": lists[0]["title"],
        "timestamp": 999,
        "live": True,
    }
    assert clicked not in [item["item_id"] for item in shop.ok("/recommend", user_id="u3", k=9)["lists"][0]["items"]]
    stranger = shop.ok("/users/history", user_id="visitor")
    assert (stranger["in_log"], stranger["events"]) == (False, [])


def test_the_map_holds_the_items_in_one_order(shop):
    answer = laid_out(shop)
    points = floats(answer["points"], "<f4").reshape(-1, 2)
    assert len(points) == len(answer["ids"]) == 13  # the cold one has no vector
    assert (answer["method"], answer["laid_out"]) == ("tsne", 9)
    assert NASTY in answer["ids"]
    kinds = shop.ok("/map/colours", column="kind")
    values = [kinds["values"][code] for code in floats(kinds["data"], "<i4")]
    known = {item["item_id"]: item["columns"] for item in shop.ok("/items/get", items=answer["ids"])["items"]}
    assert values == [known[item]["kind"] for item in answer["ids"]]
    prices = floats(shop.ok("/map/colours", column="price")["data"], "<f4")
    np.testing.assert_array_equal(prices, [known[item].get("price", np.nan) for item in answer["ids"]])
    assert "did you mean 'price'" in shop.refused("/map/colours", column="prise")


def test_an_item_that_was_put_in_is_on_the_map_and_a_deleted_one_is_not(shop):
    before = laid_out(shop)
    shop.ok("/items", items=[{"item_id": "new", "text": "Red shoe 1", "columns": {"kind": "kind 1"}}])
    after = laid_out(shop)
    assert set(after["ids"]) - set(before["ids"]) >= {"new"}
    assert after["version"] != before["version"]
    at = after["ids"].index("new")
    points = floats(after["points"], "<f4").reshape(-1, 2)
    (nearest,) = shop.ok("/similar", items=["new"], k=1)["lists"]
    other = after["ids"].index(nearest["items"][0]["item_id"])
    assert np.abs(points[at] - points[other]).max() < 0.01
    assert len(floats(shop.ok("/map/colours", column="kind")["data"], "<i4")) == len(after["ids"])
    assert shop.ok("/items/find", query="new")["items"][0]["columns"]["kind"] == "kind 1"
    assert shop.ok("/attention", user_id="u4", history=["new"])["tokens"][-1] == "unknown item"
    shop.ok("/items/delete", items=["new"])
    assert "new" not in laid_out(shop)["ids"]
    assert shop.ok("/items/find", query="new")["total"] == 0


def test_settings_of_the_map_have_an_effect(shop, opened):
    folder, answers = shop.folder, []
    for settings in ({}, {"method": "pca"}, {"sample": 7}):
        config = Config(runs=(str(folder / "towers"),), data=folder / "data", map=MapSettings(**settings))
        answers.append(laid_out(opened(config)))
    assert [(one["method"], one["laid_out"]) for one in answers] == [("tsne", 13), ("pca", 13), ("tsne", 7)]
    assert len({one["points"] for one in answers}) == 3
    with pytest.raises(InputError, match="at least 5"):
        MapSettings(sample=4)
    with pytest.raises(InputError, match="no effect on pca"):
        MapSettings(method="pca", sample=50)


def test_a_layout_that_fails_is_said_and_logged(shop, opened, monkeypatch, capsys):
    from recsys_bert.retrieval import item_map

    def fail(*_, **__):
        raise RuntimeError("secret path /home/x")

    monkeypatch.setattr(item_map, "item_positions", fail)
    http = opened(Config(runs=(str(shop.folder / "towers"),), data=shop.folder / "data"))
    http.post("/map")
    for thread in threading.enumerate():
        if thread.name == "map":
            thread.join()
    status, answer = http.post("/map")
    assert (status, answer) == (500, {"error": "the service failed on this request; its log says why."})
    assert "secret path" in capsys.readouterr().err


@pytest.mark.parametrize("run", ["towers", "fused"])
def test_attention_of_histories_is_that_of_the_offline_page(shop, run, tmp_path):
    from recsys_bert.stages.attention import show_attention

    model = rb.load(shop.folder / "towers", rb.open_dataset(shop.folder / "data"))
    show_attention(model, tmp_path / "a.html", users=["u5"], k=4)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    answer = shop.ok("/attention", user_id="u5", run=run, k=4)
    assert answer["attention"] == data["cases"][0]["attention"]
    assert answer["fusion"] == data["cases"][0]["fusion"]
    assert (answer["layers"], len(answer["nearest"])) == (data["layers"], 3)
    assert [name for name, _ in answer["nearest"][2]] == [name for name, _ in data["cases"][0]["nearest"][2]]
    assert len(shop.ok("/attention", history=["i1"] * 20, run=run, max_len=8)["tokens"]) == 8


def test_attention_of_texts(texts):
    tokens = {}
    for run in ("topics", "cross", "answers", "names", "words"):
        answer = texts.ok("/attention", text="Ada lives in Oslo", run=run)
        (layer,) = answer["attention"]
        weights = floats(layer["weights"], np.uint8).reshape(layer["heads"], len(answer["tokens"]), -1)
        rows = weights.astype(float).sum(2) * np.array(layer["most"])[:, None] / 255
        np.testing.assert_allclose(rows, 1, atol=0.05)
        tokens[run] = answer["tokens"]
    assert any("oslo" in token.lower() for token in tokens["topics"])
    assert len(texts.ok("/attention", text="a " * 99, max_len=9)["tokens"]) == 9


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "give a text, or a user_id"),
        ({"text": "a", "user_id": 1}, "give a text, or a user_id"),
        ({"text": " "}, "is empty"),
        ({"text": "a", "max_len": 7}, "max_len"),
        ({"text": "a", "max_len": 129}, "max_len"),
        ({"user_id": 1}, "no run of the kind recommender"),
    ],
)
def test_bad_requests_for_attention_are_refused(texts, body, message):
    assert message in texts.refused("/attention", **body)


def test_runs_say_what_can_be_asked_of_them(shop, clicks, texts):
    def able(http):
        return {run["name"]: run["endpoints"] for run in http("GET", "/ready").json()["runs"]}

    assert {"/map", "/attention", "/catalogue"} <= set(able(shop)["fused"])
    assert "/attention" not in able(clicks)["clicks"]
    assert "/attention" in able(texts)["names"]
    assert "/map" not in able(texts)["names"]
    paths = shop("GET", "/openapi.json").json()["paths"]
    for path in ("/catalogue", "/items/find", "/items/get", "/users/find", "/users/history", "/map", "/attention"):
        operation = paths[path]["post"]
        assert operation["description"]
        assert "$ref" in str(operation["requestBody"])


def test_nothing_known_of_a_user_is_nothing_to_look_at(shop):
    assert "nothing is known" in shop.refused("/attention", user_id="visitor")
    assert "items" in shop.refused("/items/get", items=[])
    assert "encoder" in shop.refused("/attention", text="a")
