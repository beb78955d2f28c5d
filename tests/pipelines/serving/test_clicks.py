"""Answers about clicks equal those of the library; bad requests are told why."""

import shutil

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from pipelines.serve import Config
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.serving.client import AsyncClient


@pytest.fixture(scope="module")
def models(click_runs):
    dataset = rb.open_dataset(click_runs / "data")
    return {name: rb.load(click_runs / name, dataset) for name in ("towers", "fused", "clicks")}


def as_pairs(items):
    return [(item["item_id"], pytest.approx(item["score"], abs=1e-4)) for item in items]


def of_frame(frame):
    return list(frame.select("item_id", "score").iter_rows())


@pytest.mark.parametrize("run", ["towers", "fused"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k": 60},
        {"exclude_seen": False},
        {"only": {"category": ["category-1", "category-2"]}},
        {"without": {"category": "category-1"}, "k": 3},
        {"only": list(range(1, 30)), "without": [4, 5, 6]},
        {"max_per": {"category": 2}, "k": 5},
        {"diversity": 0.4, "k": 6},
        {"diversity": 0.2, "max_per": {"category": 1}, "only": list(range(1, 40))},
    ],
    ids=str,
)
def test_lists_are_those_of_the_library(clicks, models, run, settings):
    users = [7, 8, 9]
    answer = clicks.ok("/recommend", run=run, users=users, **settings)
    frame = models[run].recommend(users, **{"k": 10, **settings})
    assert answer["run"] == run
    for listed in answer["lists"]:
        assert as_pairs(listed["items"]) == of_frame(frame.filter(user_id=listed["user_id"]))
        assert listed["source"] == "history"
    assert [listed["user_id"] for listed in answer["lists"]] == users


def test_typed_histories_and_titles(clicks, models):
    answer = clicks.ok("/recommend", histories=[[12, 7, 31], [5]], k=4)
    frame = models["towers"].recommend(histories=[[12, 7, 31], [5]], k=4)
    for listed in answer["lists"]:
        part = frame.filter(query=listed["query"])
        assert as_pairs(listed["items"]) == of_frame(part)
        assert [item["title"] for item in listed["items"]] == part["title"].to_list()
    (alone,) = clicks.ok("/recommend", history=[12, 7, 31], k=4)["lists"]
    assert as_pairs(alone["items"]) == [(item["item_id"], item["score"]) for item in answer["lists"][0]["items"]]


def test_a_history_follows_the_users_own(clicks, models):
    dataset = models["towers"].dataset
    (both,) = clicks.ok("/recommend", user_id=7, history=[12])["lists"]
    typed = models["towers"].recommend(histories=[[*dataset.history(7), 12]])
    assert {item["item_id"] for item in both["items"]} & {12, *dataset.history(7)} == set()
    (alone,) = clicks.ok("/recommend", user_id=7)["lists"]
    assert [item["item_id"] for item in both["items"]] != [item["item_id"] for item in alone["items"]]
    # the user's side features are read as well, which a typed history has not
    assert set(typed["item_id"]) & {item["item_id"] for item in both["items"]}


def test_users_nobody_knows_get_what_is_popular(clicks, models):
    (listed,) = clicks.ok("/recommend", user_id=10**12, k=5)["lists"]
    frame = models["towers"].recommend([10**12], k=5)
    assert listed["source"] == "popular"
    assert [item["item_id"] for item in listed["items"]] == frame["item_id"].to_list()
    settings = {"k": 5, "only": {"category": "category-1"}, "max_per": {"category_path": 1}}
    (only,) = clicks.ok("/recommend", user_id=10**12, **settings)["lists"]
    assert as_pairs(only["items"]) == of_frame(models["towers"].recommend([10**12], **settings))


def test_unknown_items_are_counted(clicks):
    (listed,) = clicks.ok("/recommend", history=[12, 10**9, 10**10], k=3)["lists"]
    assert listed["notes"] == ["2 of 3 items of the history are unknown"]
    (listed,) = clicks.ok("/recommend", history=[10**9])["lists"]
    assert listed["source"] == "popular"
    (listed,) = clicks.ok("/recommend", user_id=7, without=[12, 10**9], only={"category": ["category-1", "none"]})[
        "lists"
    ]
    assert listed["notes"][:2] == ["no item has the category 'none' of only", "1 of 2 ids of without are unknown"]
    (listed,) = clicks.ok("/recommend", user_id=7, k=1000)["lists"]
    assert "no more are left" in listed["notes"][-1]


def test_reasons_name_the_nearest_item_and_the_part_of_counts(clicks, models):
    model = models["fused"]
    (listed,) = clicks.ok("/recommend", run="fused", user_id=7, k=5, reasons=True)["lists"]
    (everything,) = clicks.ok("/recommend", user_id=7, k=60)["lists"]
    plain = {item["item_id"]: item["score"] for item in everything["items"]}
    vectors = dict(zip(*models["towers"].item_vectors().to_dict(as_series=False).values(), strict=True))
    history = set(model.dataset.history(7))
    for item in listed["items"]:
        why = item["reason"]
        parts = why["from_counts"] + why["from_recency"]
        assert parts == pytest.approx(item["score"] - plain[item["item_id"]], abs=1e-4)
        cosines = {
            seen: np.dot(vectors[item["item_id"]], vectors[seen])
            / np.linalg.norm(vectors[item["item_id"]])
            / np.linalg.norm(vectors[seen])
            for seen in history
        }
        assert why["nearest"] == max(cosines, key=cosines.get)
        assert why["cosine"] == pytest.approx(max(cosines.values()), abs=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "ip"])
def test_similar_items_are_those_of_the_library(clicks, models, similarity):
    settings = {"k": 5, "similarity": similarity, "without": {"category": "category-2"}}
    answer = clicks.ok("/similar", items=[12, 7], **settings)
    frame = models["towers"].similar([12, 7], **settings)
    for listed in answer["lists"]:
        assert as_pairs(listed["items"]) == of_frame(frame.filter(similar_to=listed["similar_to"]))


@pytest.mark.parametrize("run", ["towers", "fused"])
def test_scores_are_those_of_the_library(clicks, models, run):
    pairs = pl.DataFrame({"user_id": [7, 8, 7, 10**9, 9], "item_id": [12, 12, 30, 12, 10**9]})
    answer = clicks.ok("/score", run=run, pairs=pairs.to_dicts())
    frame = models[run].score(pairs)
    assert [pair["source"] for pair in answer["pairs"]] == frame["source"].to_list()
    for pair, score in zip(answer["pairs"], frame["score"], strict=True):
        assert pair.get("score") == (None if score is None else pytest.approx(score, abs=1e-4))


def test_rank_retrieves_and_ranks(clicks, models):
    answer = clicks.ok("/rank", user_id=7, k=4, retrieve=20, context={"device": "phone"})
    candidates = models["towers"].recommend([7], k=20)["item_id"].to_list()
    users = {"user_id": [7], "device": ["phone"]}
    frame = models["clicks"].rank(users, candidates, k=4, quiet=True)
    assert [item["item_id"] for item in answer["items"]] == frame["item_id"].to_list()
    probabilities = [item["probabilities"]["probability"] for item in answer["items"]]
    assert probabilities == pytest.approx(frame["probability"].to_list())
    assert (answer["run"], answer["ranker"]) == ("towers", "clicks")
    own = clicks.ok("/rank", user_id=7, k=2, candidates=candidates[:5], context={"device": "phone"})
    assert {item["item_id"] for item in own["items"]} <= set(candidates[:5])
    assert "device" in clicks.refused("/rank", user_id=7)


def test_a_click_changes_the_next_list_and_is_not_listed_again(click_runs, opened):
    http = opened(Config(runs=(str(click_runs / "towers"),), data=click_runs / "data"))
    before = http.ok("/recommend", user_id=9, k=5)["lists"][0]["items"]
    clicked = before[0]["item_id"]
    answer = http.ok("/events", events=[{"user_id": 9, "item_id": clicked}, {"user_id": "new", "item_id": 10**9}])
    assert (answer["accepted"], answer["durable"]) == (1, False)
    assert [entry["number"] for entry in answer["rejected"]] == [1]
    after = http.ok("/recommend", user_id=9, k=5)["lists"][0]["items"]
    assert clicked not in [item["item_id"] for item in after]
    assert [item["score"] for item in after[:4]] != [item["score"] for item in before[1:]]
    other = http.ok("/recommend", user_id=8, k=5)
    assert other == http.ok("/recommend", user_id=8, k=5)


def test_somebody_new_has_a_history_after_the_first_event(click_runs, opened, tmp_path):
    config = Config(runs=(str(click_runs / "towers"),), data=click_runs / "data", state=tmp_path / "state.db")
    http = opened(config)
    assert http.ok("/recommend", user_id=777)["lists"][0]["source"] == "popular"
    events = [{"user_id": 777, "item_id": item, "timestamp": time} for item, time in ((12, 50), (7, 20))]
    assert http.ok("/events", events=events)["durable"]
    listed = http.ok("/recommend", user_id=777, k=5)["lists"][0]
    typed = http.ok("/recommend", history=[7, 12], k=5)["lists"][0]
    assert listed["items"] == typed["items"]
    http.service.close()
    again = opened(config)
    assert again.ok("/recommend", user_id=777, k=5)["lists"][0] == listed


BAD = [
    ("/recommend", {}, "for whom"),
    ("/recommend", {"user_id": 7, "users": [7]}, "users and user_id are given"),
    ("/recommend", {"user_id": 7, "k": 0}, "k: "),
    ("/recommend", {"user_id": 7, "k": 10**9}, "k: 1,000,000,000 is more than 1,000"),
    ("/recommend", {"user_id": 7, "k": "3"}, "k: "),
    ("/recommend", {"user_id": True}, "user_id"),
    ("/recommend", {"user_id": 1.5}, "user_id"),
    ("/recommend", {"user_id": "../../etc/passwd"}, "user ids of this log are integers"),
    ("/recommend", {"user_id": 10**30}, "64 bits"),
    ("/recommend", {"history": ["<script>"]}, "item ids of this log are integers"),
    ("/recommend", {"user_id": 7, "typo": 1}, "typo: Extra inputs"),
    ("/recommend", {"user_id": 7, "run": "nobody"}, "no run of that name"),
    ("/recommend", {"user_id": 7, "run": "clicks"}, "no run of that name"),
    ("/recommend", {"user_id": 7, "only": {"colour": "red"}}, "colour"),
    ("/recommend", {"user_id": 7, "only": []}, "leave no item"),
    ("/recommend", {"user_id": 7, "only": "/etc/passwd"}, "only"),
    ("/recommend", {"user_id": 7, "max_per": {"colour": 1}}, "colour"),
    ("/recommend", {"user_id": 7, "diversity": 1.0}, "diversity"),
    ("/recommend", {"history": [12], "history_times": [1, 2]}, "history_times has 2 times"),
    ("/recommend", {"histories": [[12], []]}, "for whom"),
    ("/recommend", {"users": [7] * 65}, "users: 65 is more than 64"),
    ("/similar", {"items": []}, "items: "),
    ("/similar", {"items": [12, 10**9]}, "1 of 2 items are not in the catalogue"),
    ("/score", {"pairs": [{"user_id": 7}]}, "pairs.0.item_id: Field required"),
    ("/events", {"events": [{"user_id": 7, "item_id": 12, "timestamp": -1}]}, "timestamp"),
    ("/rank", {"user_id": 7, "candidates": [1], "only": [1], "context": {"device": "phone"}}, "only and without"),
    ("/rank", {"candidates": ["x"], "context": {"device": "phone"}, "by": "buy"}, "buy"),
    ("/rank", {"candidates": [1, "x"], "context": {"device": "phone"}}, "ids of one type"),
    ("/recommend", {"history": [12], "history_times": [2**63]}, "history_times.0: Input should be less than"),
]


@pytest.mark.parametrize(("path", "body", "message"), BAD, ids=[f"{path}-{message[:20]}" for path, _, message in BAD])
def test_bad_requests_are_told_why(clicks, path, body, message):
    assert message in clicks.refused(path, **body)


def test_the_client_gives_the_librarys_frames(clicks, models):
    client = AsyncClient("http://127.0.0.1")
    client._http, run = clicks.client, clicks.runner.run
    frame, expected = run(client.recommend([7, 8], k=4)), models["towers"].recommend([7, 8], k=4)
    assert frame.select(expected.columns).drop("score").equals(expected.drop("score"))
    assert (
        run(client.similar([12], k=2))["item_id"].to_list() == models["towers"].similar([12], k=2)["item_id"].to_list()
    )
    pairs = pl.DataFrame({"user_id": [7, 10**9], "item_id": [12, 12]})
    assert run(client.score(pairs))["source"].to_list() == ["history", "no events"]
    ranked = run(client.rank(user_id=7, k=2, context={"device": "phone"}))
    assert ranked["probability"].is_sorted(descending=True)
    assert ranked.columns == ["item_id", "rank", "title", "probability"]
    rejected = run(
        client.events([{"user_id": 7, "item_id": 12, "timestamp": None}] * 64 + [{"user_id": 7, "item_id": -1}])
    )
    assert (rejected["accepted"], rejected["rejected"][0]["number"]) == (64, 64)


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": [0, 10**30]},
        {"candidates": [7], "user_id": 10**30},
        {"candidates": [7], "user_id": 7, "context": {"device": -(10**30)}},
    ],
)
def test_rank_refuses_integers_beyond_64_bits(clicks, body):
    assert "beyond 64 bits" in clicks.refused("/rank", **body)


def test_a_click_changes_the_ranking_models_history(click_runs, clicks, tmp_path):
    body = {"user_id": 44, "candidates": [*range(20)], "k": 20, "context": {"device": "phone"}}
    before = clicks.ok("/rank", **body)["items"]
    dataset = rb.open_dataset(click_runs / "data")
    last = int(dataset.histories.times.max())
    events = [{"user_id": 44, "item_id": item, "timestamp": last + n} for n, item in enumerate([5, 9, 5, 31], 1)]
    assert clicks.ok("/events", events=events)["accepted"] == 4
    after = clicks.ok("/rank", **body)["items"]
    assert [item["probabilities"] for item in after] != [item["probabilities"] for item in before]
    shutil.copytree(click_runs / "data", tmp_path / "data")
    grown = rb.append(tmp_path / "data", pl.DataFrame(events))
    users = pl.DataFrame({"user_id": [44], "device": ["phone"]})
    expected = CTRModel.load(click_runs / "clicks", grown).rank(users, [*range(20)], quiet=True)
    assert [item["item_id"] for item in after] == expected["item_id"].to_list()
    ours = [item["probabilities"]["probability"] for item in after]
    np.testing.assert_allclose(ours, expected["probability"], atol=1e-6)
