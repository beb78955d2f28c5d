"""Load generator for HTTP services on the loopback: HTTP/1.1 over raw sockets, so that it costs little of the machine.

Closed loop: clients that ask one after another. Open loop: requests at the times of a schedule, whatever was answered
before; latency counts from the scheduled time, so that a service that stalls is charged for all who waited.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

Request = tuple[str, dict[str, Any] | None]
"""Path and JSON body; None: a GET."""

Reply = tuple[int, bytes]
"""Status and body; status 0 where the connection broke."""

_CONNECTIONS = 4_000
_OPENED = 512  # before an open loop begins


class _Connection(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self, free: deque["_Connection"]) -> None:
        self._free, self._buffer = free, b""
        self.reply: asyncio.Future[Reply] | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        reply, self.reply = self.reply, None
        if b"connection: close" in lowered:
            self.transport.close()
        else:
            self._free.append(self)
        if reply is not None and not reply.done():
            reply.set_result((int(head[9:12]), rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._free:
            self._free.remove(self)
        if self.reply is not None and not self.reply.done():
            self.reply.set_result((0, b""))


class LoadClient:
    """Requests to one service over connections that are used again.

    Args:
        url: ``http://127.0.0.1:PORT``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._free: deque[_Connection] = deque()
        self._n_open = 0

    def message(self, request: Request) -> bytes:
        """Bytes of a request."""
        path, body = request
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        return head.encode() + content

    async def send(self, message: bytes) -> Reply:
        """The reply to a message; status 0 where none came."""
        loop = asyncio.get_running_loop()
        try:
            connection = self._free.popleft() if self._free else await self._opened(loop)
        except OSError:
            return 0, b""
        connection.reply = reply = loop.create_future()
        connection.transport.write(message)
        answer: Reply = await reply
        return answer

    async def open(self, connections: int) -> None:
        """Open connections before they are needed, as those of clients that asked before."""
        loop = asyncio.get_running_loop()
        self._free.extend([await self._opened(loop) for _ in range(connections)])

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        self._n_open += 1
        if self._n_open > _CONNECTIONS:
            self._n_open -= 1
            raise OSError("too many connections")
        _, connection = await loop.create_connection(lambda: _Connection(self._free), self._host, self._port)
        return connection

    def close(self) -> None:
        """Close idle connections."""
        for connection in list(self._free):
            connection.transport.close()


@dataclass
class Answers:
    """Replies, by kind of request."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Latencies of requests with status 200, by path."""
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    """Statuses by path; 0: a broken connection."""
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    """Bodies of requests with status 200 to the paths that are remembered."""
    sent: int = 0
    hanging: int = 0
    """Requests without a reply half a minute after the last was sent."""
    late_ms: float = 0.0
    """99th percentile of how much later than scheduled requests were sent."""
    wall_s: float = 0.0

    def add(self, path: str, reply: Reply, seconds: float, remembered: Sequence[str]) -> None:
        """Count a reply."""
        self.statuses.setdefault(path, Counter())[reply[0]] += 1
        if reply[0] == 200:
            self.seconds.setdefault(path, []).append(seconds)
            if path in remembered:
                self.bodies.setdefault(path, []).append(reply[1])

    def quantile_ms(self, path: str, q: float) -> float:
        """Quantile of the latencies of a path; NaN without any."""
        return 1000 * float(np.quantile(self.seconds.get(path) or [np.nan], q))


def run(main: Callable[[], Any]) -> Any:
    """Run in the fastest event loop that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


def closed_loop(url: str, requests: Sequence[Request], clients: int) -> Answers:
    """Send requests by clients that each wait for their answer."""

    async def main() -> Answers:
        client, answers = LoadClient(url), Answers()
        left: Iterator[Request] = iter(requests)

        async def one() -> None:
            for request in left:
                message, start = client.message(request), time.perf_counter()
                reply = await client.send(message)
                answers.add(request[0], reply, time.perf_counter() - start, ())
                answers.sent += 1

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        answers.wall_s = time.perf_counter() - start
        client.close()
        return answers

    answers: Answers = run(main)
    return answers


def open_loop(
    url: str, request: Callable[[int], Request], rate: float, seconds: float, remembered: Sequence[str] = ()
) -> Answers:
    """Send ``rate`` requests a second for some seconds, at fixed times.

    Args:
        url: Of the service.
        request: Number of a request → the request.
        rate: Requests a second.
        seconds: Length; the number of requests is ``rate * seconds``.
        remembered: Paths whose accepted bodies are wanted.
    """

    async def main() -> Answers:
        client, answers = LoadClient(url), Answers()
        messages = [(one[0], client.message(one)) for one in map(request, range(round(rate * seconds)))]
        tasks, lateness, loop = set[asyncio.Task[None]](), list[float](), asyncio.get_running_loop()

        async def one(path: str, message: bytes, scheduled: float) -> None:
            reply = await client.send(message)
            answers.add(path, reply, time.perf_counter() - scheduled, remembered)

        await client.open(_OPENED)
        start = time.perf_counter()
        for number, (path, message) in enumerate(messages):
            scheduled = start + number / rate
            if (early := scheduled - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif not number % 16:
                await asyncio.sleep(0)
            lateness.append(time.perf_counter() - scheduled)
            task = loop.create_task(one(path, message, scheduled))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        answers.sent = len(messages)
        if tasks:
            _, hanging = await asyncio.wait(set(tasks), timeout=30)
            answers.hanging = len(hanging)
        answers.wall_s, answers.late_ms = time.perf_counter() - start, 1000 * float(np.quantile(lateness, 0.99))
        client.close()
        return answers

    answers: Answers = run(main)
    return answers


def probe(url: str, seconds: float, every_s: float = 0.1) -> list[float]:
    """Milliseconds until each of many ``/health`` requests was answered, a new connection each; inf where none came."""
    import http.client

    parts, times, end = urlsplit(url), list[float](), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        try:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
            connection.request("GET", "/health")
            well = connection.getresponse().status == 200
            connection.close()
        except OSError:
            well = False
        times.append(1000 * (time.perf_counter() - start) if well else float("inf"))
        time.sleep(every_s)
    return times


if __name__ == "__main__":
    import sys

    print(json.dumps(probe(sys.argv[1], float(sys.argv[2]))))
