"""The client: frames as the library's, parts of long requests, and a service that is full is asked again."""

import json

import httpx2
import polars as pl
import pytest

from recsys_bert.errors import InputError
from recsys_bert.serving import calls
from recsys_bert.serving.client import Client, ServiceError


def with_answers(client, *answers):
    """Let a client get these answers (status, body, headers), and keep its requests."""
    queue, requests = list(answers), []

    def handle(request):
        requests.append((request.url.path, json.loads(request.content), dict(request.headers)))
        status, body, headers = queue.pop(0) if len(queue) > 1 else queue[0]
        return httpx2.Response(status, json=body(requests[-1][1]) if callable(body) else body, headers=headers)

    client._http = type(client._http)(
        base_url="http://x", headers=client._http.headers, transport=httpx2.MockTransport(handle)
    )
    return requests


def lists_of(body):
    lists = [
        {
            "user_id": user,
            "source": "history",
            "items": [{"item_id": user * 10, "score": 0.5, "title": "t"}],
            "notes": [],
        }
        for user in body["users"]
    ]
    return {"run": "r", "lists": lists}


def test_many_users_are_sent_in_parts_and_come_back_as_one_frame():
    with Client("http://x", key="k" * 16) as client:
        requests = with_answers(client, (200, lists_of, {}))
        frame = client.recommend(pl.Series(range(100)), k=1, without=[5])
        assert [len(body["users"]) for _, body, _ in requests] == [64, 36]
        assert requests[0][1] == {"users": list(range(64)), "k": 1, "without": [5]}
        assert requests[0][2]["authorization"] == "Bearer " + "k" * 16
        assert frame.columns == ["user_id", "rank", "item_id", "score", "title", "source"]
        assert frame["item_id"].to_list() == [user * 10 for user in range(100)]


def test_histories_are_numbered_over_all_parts():
    def answer(body):
        items = [{"item_id": 1, "score": 1.0}]
        lists = [{"query": n, "source": "history", "items": items} for n in range(1, len(body["histories"]) + 1)]
        return {"lists": json.loads(json.dumps(lists))}

    with Client("http://x") as client:
        with_answers(client, (200, answer, {}))
        assert client.recommend(histories=[[1]] * 70)["query"].to_list() == list(range(1, 71))


def test_a_full_service_is_asked_again_and_a_refusal_is_an_error():
    with Client("http://x", retries=1) as client:
        requests = with_answers(client, (503, {"error": "full"}, {"retry-after": "0"}), (200, {"results": [1]}, {}))
        assert client.classify(["a"]) == [1]
        assert len(requests) == 2
        with_answers(client, (503, {"error": "full"}, {"retry-after": "0"}))
        with pytest.raises(ServiceError, match="503: full"):
            client.classify(["a"])
        with_answers(client, (422, {"error": "k: bad"}, {}))
        with pytest.raises(ServiceError, match="422: k: bad") as refused:
            client.classify(["a"])
        assert refused.value.status == 422
    with pytest.raises(InputError, match="both given"):
        calls.recommend([1], [[1]], {})
    with pytest.raises(InputError, match="nothing is given"):
        calls.embed([], {})
