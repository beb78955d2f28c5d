"""Requests that would wait too long are refused at once, over a real connection too."""

import asyncio
import json
import time

import pytest
import uvicorn

from pipelines.serving.admission import Admission, AdmissionLimits
from pipelines.serving.errors import RequestError
from pipelines.serving.guard import Guard, GuardSettings
from pipelines.serving.metrics import Metrics
from pipelines.serving.protocol import SheddingProtocol


def test_requests_beyond_those_that_are_free_are_refused_by_their_expected_time():
    admission = Admission(AdmissionLimits(free=1, most=5, seconds=0.5))
    for _ in range(3):
        admission.enter()  # nothing is known of their time
    admission.seconds_each = 0.2
    with pytest.raises(RequestError, match="too many requests") as refused:
        admission.enter()  # the fourth: 0.8 s
    assert refused.value.status == 503
    assert refused.value.headers == {"Retry-After": "1"}
    admission.seconds_each = 0.1
    for _ in range(2):
        admission.enter()
    assert admission.refusal() is not None  # at most five, whatever their time
    assert (admission.active, admission.refused) == (5, 2)


def test_the_time_of_a_request_is_learned_while_requests_are_under_way():
    admission = Admission(AdmissionLimits(free=1, most=9, seconds=0.01))
    admission.enter()
    admission.enter()
    time.sleep(0.03)
    admission.leave()
    assert admission.seconds_each >= 0.03
    assert admission.refusal() is not None
    admission.leave()
    assert admission.refusal() is None


def test_a_slow_first_answer_is_soon_outweighed(monkeypatch):
    """The first batch compiles kernels; a mean that forgets it slowly would refuse whole minutes of requests."""
    admission, now = Admission(AdmissionLimits(free=1, most=99, seconds=0.25)), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for seconds in [1.0, *[0.004] * 40]:
        admission.enter()
        now[0] += seconds
        admission.leave()
    assert admission.seconds_each == pytest.approx((1.0 + 40 * 0.004) / 41)


def request(body, close=False):
    head = f"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    return (head + ("connection: close\r\n" if close else "") + "\r\n").encode(), body


async def answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return head.split()[1], head, await reader.readexactly(length)


async def scene(url_port, release, guard):
    """A full service refuses a second connection, in parts too, and answers it once there is room."""
    first_in, first_out = await asyncio.open_connection("127.0.0.1", url_port)
    first_out.writelines(request(b"one"))
    async with asyncio.timeout(60):
        while not guard.admission.active:
            await asyncio.sleep(0.001)
    reader, writer = await asyncio.open_connection("127.0.0.1", url_port)
    for parts in (request(b"two"), [*request(b"3")[0].partition(b"slow"), b"3"]):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        status, head, body = await answer(reader)
        assert (status, "retry-after: 1" in head, "x-frame-options" in head) == ("503", True, True)
        assert "try again later" in json.loads(body)["error"]
    release.set()
    assert (await answer(first_in))[::2] == ("200", b"one")
    for content in (b"four", b"five"):
        writer.writelines(request(content))
        assert (await answer(reader))[::2] == ("200", content)
    guard.admission.active = 9  # full again
    writer.writelines(request(b"six", close=True))
    assert (await answer(reader))[0] == "503"
    assert await reader.read() == b""  # closed, as it asked for
    guard.admission.active = 0
    first_out.close()
    writer.close()


def test_a_full_service_refuses_when_it_has_read_the_head_and_the_connection_goes_on():
    async def main():
        release = asyncio.Event()

        async def app(scope, receive, send):
            body = (await receive())["body"]
            await release.wait()
            length = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            await send({"type": "http.response.body", "body": body})

        limits = AdmissionLimits(free=1, most=1)
        guard = Guard(app, GuardSettings(admission=limits), metrics := Metrics(), ["/slow"])
        config = uvicorn.Config(
            guard, http=SheddingProtocol, loop="asyncio", lifespan="off", log_config=None, proxy_headers=False, port=0
        )
        server = uvicorn.Server(config)
        task = asyncio.ensure_future(server._serve())
        while not server.started:
            await asyncio.sleep(0.001)
        await scene(server.servers[0].sockets[0].getsockname()[1], release, guard)
        server.should_exit = True
        await task
        return metrics.text().decode()

    text = asyncio.run(main())
    assert 'recsys_bert_requests_total{path="/slow",status="503"} 3.0' in text
    assert 'recsys_bert_requests_total{path="/slow",status="200"} 3.0' in text
    assert "recsys_bert_shed 3.0" in text
