"""Searches in a store that holds the items of a run."""

import pytest
from mcp.client import Client

import recsys_bert as rb
from pipelines.serve import Config
from pipelines.serving.mcp_tools import mcp_server
from recsys_bert.stages.store_items import store_items


@pytest.fixture(scope="module")
def model(click_runs):
    return rb.load(click_runs / "towers", click_runs / "data")


@pytest.fixture(scope="module")
def http(click_runs, opened, model, tmp_path_factory):
    place = tmp_path_factory.mktemp("place") / "store"
    store_items(model, place).close()
    return opened(Config(runs=(str(click_runs / "towers"),), data=click_runs / "data", store=str(place)))


def ids(answer):
    return [hit["item_id"] for hit in answer["items"]]


def test_by_words_by_vector_and_by_both(http, model):
    worded = http.ok("/search", query="31 33", k=60)
    titles = dict(zip(model.dataset.items["item_id"], model.dataset.items["title"], strict=True))
    assert set(ids(worded)) == {item for item, title in titles.items() if {"31", "33"} & set(title.split())} == {31, 33}
    assert all(hit["text"] == titles[hit["item_id"]] for hit in worded["items"])
    near = http.ok("/search", user_id=7, k=5)
    best = model.recommend([7], k=5, exclude_seen=False)
    assert ids(near) == best["item_id"].to_list()
    assert [hit["score"] for hit in near["items"]] == pytest.approx(best["score"].to_list(), abs=1e-4)
    vectors = dict(zip(*model.item_vectors().to_dict(as_series=False).values(), strict=True))
    assert ids(http.ok("/search", vector=list(vectors[12]), k=3)) == ids(http.ok("/search", item_id=12, k=3))
    both = http.ok("/search", user_id=7, query="31 33", k=60)
    assert both["by"] == ["vector", "words"]
    assert len(ids(both)) == 60
    position = {item: rank for rank, item in enumerate(ids(http.ok("/search", user_id=7, k=60)))}
    raised = {item: rank for rank, item in enumerate(ids(both))}
    assert all(raised[item] < position[item] or raised[item] < 2 for item in (31, 33))


def test_filters_of_text_and_json(http, model):
    items = model.dataset.items
    cheap = set(items.filter((items["price"] < 20) & (items["category"] == "category-1"))["item_id"])
    for condition in (
        'price < 20 and category == "category-1"',
        {"and": [{"<": ["price", 20]}, {"==": ["category", "category-1"]}]},
    ):
        assert set(ids(http.ok("/search", user_id=7, k=60, filter=condition))) == cheap


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "nothing to search by"),
        ({"vector": [1.0], "user_id": 7}, "vector and user_id are given"),
        ({"vector": [1.0]}, "vectors have 1 numbers"),
        ({"vector": [float(10**300)] * 16}, "NaN or infinite"),
        ({"item_id": 10**9}, "not in the store"),
        ({"user_id": 10**9}, "no event of this user"),
        ({"query": " "}, "query[0] is empty"),
        ({"query": "a", "filter": "price <"}, "filter"),
        ({"query": "a", "filter": "1; DROP TABLE rows"}, "filter"),
        ({"query": "a", "filter": {"or": []}}, "filter"),
        ({"query": "a", "filter": "colour == 1"}, "colour"),
        ({"query": "a", "k": 10**9}, "k: "),
    ],
    ids=str,
)
def test_bad_searches_are_told_why(http, body, message):
    assert message in http.refused("/search", **body)


def test_without_a_store(clicks):
    assert "--store" in clicks.refused("/search", query="a")


def test_the_mcp_tool_finds_the_same(http):
    async def scene():
        async with Client(mcp_server(http.service)) as client:
            return await client.call_tool("search", {"query": "31 33", "filter": "price > 0", "k": 3})

    result = http.runner.run(scene())
    assert not result.is_error
    assert result.structured_content == http.ok("/search", query="31 33", filter="price > 0", k=3)
