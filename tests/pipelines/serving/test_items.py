"""Items by their text: put in, found by words, clicked, removed, and there again after a restart."""

import pytest

import recsys_bert as rb
from pipelines.serve import Config
from recsys_bert.stages.store_items import store_items

WORDS = {"north": "ice snow polar fur", "south": "palm sand coral heat", "city": "metro tower neon taxi"}


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """A log whose items have words of three kinds, towers and a fusion on it, text vectors, and a filled store."""
    import numpy as np
    import polars as pl

    folder, random = tmp_path_factory.mktemp("worded"), np.random.default_rng(0)
    kinds = list(WORDS)
    items = pl.DataFrame(
        {
            "item_id": range(1, 61),
            "title": [
                " ".join(random.permutation(WORDS[kinds[n % 3]].split())[:3]) + f" number{n}" for n in range(1, 61)
            ],
            "kind": [kinds[n % 3] for n in range(1, 61)],
            "price": [float(n) for n in range(1, 61)],
        }
    )
    events = [
        (user, int(item) * 3 + user % 3 + (3 if user % 3 == 0 else 0), 100 * place)
        for user in range(1, 61)
        for place, item in enumerate(random.permutation(19)[:12])
    ]
    clicks = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    log = rb.prepare(clicks, items=items, item_features={"text": ["title"]}, out=folder / "data")
    encoder, train = {"dim": 16, "n_layers": 1, "max_len": 12}, {"epochs": 2, "lr": 5e-3}
    towers = rb.train_retrieval(log, encoder=encoder, train=train, out=folder / "towers")
    rb.fuse([towers], log, out=folder / "fused")
    rb.item_vectors(log, out=folder / "vectors", by="tfidf")
    store_items(towers, folder / "store").close()
    return folder


@pytest.fixture
def config(worded, tmp_path):
    runs = (str(worded / "towers"), str(worded / "fused"))
    return Config(
        runs=runs,
        data=worded / "data",
        item_vectors=worded / "vectors",
        state=tmp_path / "state.db",
        store=str(worded / "store"),
    )


def ids(answer):
    (listed,) = answer["lists"]
    return [item["item_id"] for item in listed["items"]]


def test_an_item_is_put_found_clicked_deleted_and_there_after_a_restart(config, opened):
    http = opened(config)
    history, words = [3, 6, 9], "polar snow number900"
    before = ids(http.ok("/recommend", history=history, k=61))
    assert 900 not in before
    item = {"item_id": 900, "text": words, "columns": {"kind": "north", "price": 9.5}}
    answer = http.ok("/items", items=[item])
    assert (answer["put"], answer["durable"]) == ([900], True)
    assert answer["counts"] == {"towers": {"put in": 1}, "fused": {"put in": 1}}

    for run in ("towers", "fused"):
        assert 900 in ids(http.ok("/recommend", run=run, history=history, k=61))
        assert 900 in ids(http.ok("/recommend", run=run, query="polar snow", k=25))
        assert ids(http.ok("/recommend", run=run, history=history, only={"price": 9.5})) == [900]
    assert http.ok("/similar", items=[900], k=3)["lists"][0]["items"][0]["item_id"] % 3 == 0
    hits = http.ok("/search", query="number900")["items"]
    assert [(hit["item_id"], hit["columns"]["price"]) for hit in hits] == [(900, 9.5)]
    assert http.ok("/search", item_id=900, k=1)["items"][0]["item_id"] == 900

    seen = ids(http.ok("/recommend", user_id=5, k=61))
    assert 900 in seen
    assert http.ok("/events", events=[{"user_id": 5, "item_id": 900}])["accepted"] == 1
    assert 900 not in ids(http.ok("/recommend", user_id=5, k=61))
    lists = [http.ok("/recommend", history=history, k=61), http.ok("/recommend", user_id=5, k=61)]
    http.service.close()

    again = opened(config)
    assert [again.ok("/recommend", history=history, k=61), again.ok("/recommend", user_id=5, k=61)] == lists
    answer = again.ok("/items/delete", items=[900, 12, 10**9])
    assert (sorted(answer["deleted"]), answer["unknown"]) == ([12, 900], 1)
    assert {900, 12} & set(ids(again.ok("/recommend", user_id=777, k=61))) == set()
    assert {900, 12} & set(ids(again.ok("/recommend", history=history, k=61))) == set()
    assert again.ok("/search", query="number900")["items"] == []
    again.service.close()

    third = opened(config)
    assert {900, 12} & set(ids(third.ok("/recommend", history=history, k=61))) == set()
    assert third.ok("/items", items=[{"item_id": 12, "text": "ice snow"}])["counts"]["towers"]
    assert 12 in ids(third.ok("/recommend", history=history, k=61))


def test_words_mix_with_a_history_and_stand_in_for_one(config, opened, worded):
    http = opened(config)
    model = rb.Recommender.load(worded / "towers", worded / "data", item_vectors=worded / "vectors")
    for weight in (0.2, 0.8):
        answer = http.ok("/recommend", users=[5, 6], query="coral heat", query_weight=weight, k=7)
        frame = model.recommend([5, 6], query="coral heat", query_weight=weight, k=7)
        for listed in answer["lists"]:
            part = frame.filter(user_id=listed["user_id"])
            assert [item["item_id"] for item in listed["items"]] == part["item_id"].to_list()
    (listed,) = http.ok("/recommend", query="coral heat", k=5)["lists"]
    assert listed["source"] == "query"
    assert [item["item_id"] for item in listed["items"]] == model.recommend(query="coral heat", k=5)[
        "item_id"
    ].to_list()
    (unknown,) = http.ok("/recommend", user_id=10**9, query="coral heat", k=5)["lists"]
    assert unknown["items"] == listed["items"]


BAD = [
    ("/items", {"items": [{"item_id": 1, "columns": {"colour": "red"}}]}, "no column 'colour'"),
    ("/items", {"items": [{"item_id": 1, "columns": {"price": "cheap"}}]}, "columns.price"),
    ("/items", {"items": [{"item_id": 1, "columns": {"item_row": 1}}]}, "no column 'item_row'"),
    ("/items", {"items": [{"item_id": 901, "columns": {"price": 1.0}}]}, "no text column"),
    ("/items", {"items": [{"item_id": 1, "text": "a", "columns": {"title": "b"}}]}, "both given"),
    ("/items", {"items": [{"item_id": "x", "text": "a"}]}, "item ids of this log are integers"),
    ("/items", {"items": [{"item_id": 1, "text": " "}]}, "items.text[0] is empty"),
    ("/items", {"items": []}, "items"),
    ("/recommend", {"query": "unheardof"}, "no word of"),
    ("/recommend", {"query": "ice", "query_weight": 1.0}, "query_weight"),
]


def test_bad_items_are_told_why(config, opened):
    http = opened(config)
    for path, body, message in BAD:
        assert message in http.refused(path, **body), (path, body)
    assert http.service.live.counts()["items"] == 0
    answer = http.ok("/items", items=[{"item_id": 3, "text": "new words of a trained item"}])
    assert (answer["put"], answer["counts"]["towers"]) == ([], {"trained on already": 1})


def test_without_text_vectors_items_are_removed_but_not_put(worded, opened):
    http = opened(Config(runs=(str(worded / "towers"),), data=worded / "data"))
    assert "text vectors" in http.refused("/items", items=[{"item_id": 900, "text": "ice"}])
    assert "text vectors" in http.refused("/recommend", query="ice")
    assert http.ok("/items/delete", items=[12])["deleted"] == [12]
    assert 12 not in ids(http.ok("/recommend", user_id=777, k=61))
