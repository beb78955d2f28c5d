"""Keys, hosts, bodies, clients that leave, and faults of ours."""

import asyncio
import json

import pytest

from pipelines.serve import Config, build_app, open_service
from pipelines.serving.guard import Guard, GuardSettings
from pipelines.serving.limits import Limits
from pipelines.serving.metrics import Metrics

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def locked(text_runs, opened):
    return opened(Config(runs=(str(text_runs / "words"),)), key=KEY)


@pytest.fixture(scope="module")
def small(text_runs, opened):
    limits = Limits(body_kib=1, texts=2, characters=30)
    return opened(Config(runs=(str(text_runs / "words"),), limits=limits), hosts=("127.0.0.1", "::1"))


def test_a_key_is_needed_everywhere_but_for_health(locked):
    for path in ("/v1/embeddings", "/reload", "/nowhere"):
        assert locked("POST", path, json={"input": "a"}).status_code == 401
    assert locked("GET", "/metrics").status_code == 401
    assert locked("GET", "/openapi.json").status_code == 401
    assert locked("GET", "/health").status_code == locked("GET", "/ready").status_code == 200
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
        assert locked("POST", "/v1/embeddings", json={"input": "a"}, headers=headers).status_code == 200
    for value in (f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", "Bearer ", "Bearer \xff\xfe"):
        headers = {"Authorization": value.encode("latin-1")}
        assert locked("POST", "/v1/embeddings", json={"input": "a"}, headers=headers).status_code == 401


def test_only_known_names_of_the_host_are_answered(small):
    for host, status in (("127.0.0.1:9", 200), ("[::1]:9", 200), ("evil.example", 421), ("127.0.0.1.evil", 421)):
        assert small("GET", "/health", headers={"Host": host}).status_code == status


def test_pages_of_other_origins_are_not_answered_by_a_loopback_service(small, locked):
    for origin, status in (("http://127.0.0.1:9", 200), ("https://evil.example", 403), ("null", 403), ("", 403)):
        assert small("POST", "/reload", headers={"Origin": origin}).status_code == status
    headers = {"Origin": "https://evil.example", "Authorization": f"Bearer {KEY}"}
    assert locked("POST", "/v1/embeddings", json={"input": "a"}, headers=headers).status_code == 200


def test_what_needs_no_key_names_no_folder(locked, monkeypatch):
    monkeypatch.setattr(locked.service, "last_error", "/home/x is damaged")
    assert locked("GET", "/ready").json()["last_error"] == "the log says why the last reload was refused."


def test_answers_have_headers_for_safety_and_none_for_other_origins(small):
    headers = small("GET", "/ready", headers={"Origin": "https://evil.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not [name for name in headers if name.startswith("access-control")]
    assert small("OPTIONS", "/v1/embeddings").status_code == 405


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{" * 2000, {}, 413),
        (b'{"input": "\xff\xfe"}', {}, 400),
        (b'{"input": "a"', {}, 422),
        (b"[" * 1000, {}, 400),
        (b'{"input": "\\ud800"}', {}, 422),
        (b'{"input": NaN}', {}, 422),
        (b'{"input": ["a"], "x": ' + b"9" * 900 + b"}", {}, 422),
        (b"", {}, 422),
        (b'{"input": "a"}', {"content-type": "text/plain"}, 422),
        (b'{"input": "a"}', {"content-length": "9" * 30}, 413),
        (b'{"input": "a"}', {}, 200),
    ],
)
def test_bodies_of_any_kind_have_an_answer(small, body, headers, status):
    response = small("POST", "/v1/embeddings", content=body, headers={"content-type": "application/json", **headers})
    assert response.status_code == status, response.text
    assert status == 200 or len(response.json()["error"]) < 300


def call(app, messages, scope=()):
    """Status, body and the messages sent by an ASGI application that is sent messages; a number of them is a pause."""
    sent = []

    async def scene():
        queue = iter(messages)

        async def receive():
            message = next(queue, 60)
            if isinstance(message, int | float):
                await asyncio.sleep(message)
                return await receive()
            return message

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        await app(
            {"type": "http", "method": "POST", "path": "/x", "headers": headers, "query_string": b"", **dict(scope)},
            receive,
            send,
        )

    asyncio.run(scene())
    status = next((message["status"] for message in sent if message["type"] == "http.response.start"), None)
    return status, b"".join(message.get("body", b"") for message in sent)


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def test_half_sent_and_slow_bodies_end():
    reached = []

    async def app(scope, receive, send):
        reached.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(app, GuardSettings(body_s=0.2, body_bytes=10), Metrics())
    assert call(guard, [part(b"{", True), 60])[0] == 408
    assert call(guard, [part(b"{", True), GONE])[0] is None
    assert call(guard, [part(b"123456", True), part(b"789012", True)])[0] == 413
    assert reached == []
    assert call(guard, [part(b"123", True), 0.01, part(b"45")])[0] == 200
    assert reached == [b"12345"]


def test_a_fault_of_ours_is_logged_and_not_told(capsys):
    async def app(scope, receive, send):
        raise RuntimeError("secret path /home/x")

    status, body = call(Guard(app, GuardSettings(), Metrics()), [part(b"")])
    assert status == 500
    assert json.loads(body) == {"error": "the service failed on this request; its log says why."}
    assert "secret path" in capsys.readouterr().err


def test_a_fault_of_an_endpoint_is_answered_alike(small, monkeypatch, capsys):
    async def fail(*_):
        raise RuntimeError("secret path /home/x")

    monkeypatch.setattr(small.service, "compute", fail)
    status, body = small.post("/v1/embeddings", input="a")
    assert (status, body) == (500, {"error": "the service failed on this request; its log says why."})
    assert "secret path" in capsys.readouterr().err


def test_work_of_a_client_that_left_is_not_computed(text_runs):
    service = open_service(Config(runs=(str(text_runs / "words"),), batch=1))
    app, model = build_app(Config(), service), service.runs.by_name["words"].model
    seen, encode = [], model.encode

    def slow(inputs):
        seen.append(len(inputs))
        import time

        time.sleep(0.3)
        return encode(inputs)

    model.encode = slow
    body = part(json.dumps({"input": "a text"}).encode())

    async def one(*messages):
        queue = iter(messages)

        async def receive():
            message = next(queue, 60)
            if isinstance(message, int | float):
                await asyncio.sleep(message)
                return await receive()
            return message

        sent = []

        async def send(message):
            sent.append(message.get("status"))

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": headers, "query_string": b""}
        await app(scope, receive, send)
        return sent

    async def scene():
        return await asyncio.gather(one(body), *(one(body, 0.05, GONE) for _ in range(5)), one(body))

    sent = asyncio.run(scene())
    assert [statuses[0] if statuses else None for statuses in sent] == [200, *[None] * 5, 200]
    assert len(seen) == 2
    assert service.models.counts.dropped == 5
    service.close(30)
