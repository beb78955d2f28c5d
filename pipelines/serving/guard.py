"""ASGI middleware around the application: key, host, size and time of bodies, clients that left, faults of ours."""

import asyncio
import hmac
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.serving import static
from pipelines.serving.admission import Admission, AdmissionLimits
from pipelines.serving.errors import FAULT, RequestError, request_error
from pipelines.serving.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready", *static.PATHS)
"""Paths that need no key: nothing of runs or data is in their answers but names of runs."""

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class ClientLeft(Exception):
    """The client closed the connection before its answer was ready."""


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """Rules of the guard.

    Args:
        key: API key; None: none is needed.
        hosts: Names that the ``Host`` and ``Origin`` headers may have, so that no web page reaches a loopback service,
            by a name of its own (DNS rebinding) or without reading the answer; empty: any.
        body_bytes: Largest body.
        body_s: Seconds until a body has to be there.
        admission: Limits of the requests under way.
    """

    key: str | None = None
    hosts: Collection[str] = ()
    body_bytes: int = 1 << 20
    body_s: float = 10.0
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)


class Guard:
    """ASGI application around another one.

    Args:
        app: The application.
        settings: Rules.
        metrics: Counts requests.
        admitted: Paths whose requests are computed by a model, which are refused where too many are under way.
    """

    def __init__(self, app: App, settings: GuardSettings, metrics: Metrics, admitted: Collection[str] = ()) -> None:
        self.app, self.settings, self.metrics, self.admitted = app, settings, metrics, frozenset(admitted)
        self.admission = Admission(settings.admission)
        metrics.watch_admission(self.admission)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 499
        waits, entered = scope["path"] in self.admitted, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        try:
            self._check(scope)
            if waits:
                self.admission.enter()
                entered = True
            body = await self._body(scope, receive)
            await self._answer(scope, body, receive, send_with_headers)
        except ClientLeft:
            status = 499
        except Exception as error:
            refused = request_error(error)
            if refused is None:
                traceback.print_exception(error, file=sys.stderr)
                refused = FAULT
            if status == 499:  # nothing was sent
                await _send_error(send_with_headers, refused)
        finally:
            if entered:
                self.admission.leave()
            path = scope["path"] if waits else getattr(scope.get("route"), "path", "unknown")
            self.metrics.count(path, status, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if self.settings.hosts and host not in self.settings.hosts:
            raise RequestError(421, "this service does not answer under that name.")
        origin = headers.get(b"origin")
        if self.settings.hosts and origin is not None and _origin_host(origin) not in self.settings.hosts:
            raise RequestError(403, "this service does not answer to web pages of other origins.")
        if self.settings.key is None or scope["path"] in OPEN:
            return
        sent = headers.get(b"authorization", b"").removeprefix(b"Bearer ") or headers.get(b"x-api-key", b"")
        if not hmac.compare_digest(sent, self.settings.key.encode()):
            raise RequestError(401, "an API key is needed: Authorization: Bearer KEY.")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            RequestError: It is too large, or does not come.
            ClientLeft: The client went away.
        """
        most = self.settings.body_bytes
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > most):
            raise RequestError(413, f"the body is larger than {most:,} bytes.")
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.settings.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientLeft
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise RequestError(413, f"the body is larger than {most:,} bytes.")
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            raise RequestError(408, f"the body did not come within {self.settings.body_s:g} s.") from error

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application; cancel it when the client leaves."""
        left = asyncio.Event()
        was_read = False

        async def replay() -> Message:
            nonlocal was_read
            if was_read:
                await left.wait()
                return {"type": "http.disconnect"}
            was_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        answer = asyncio.ensure_future(self.app(scope, replay, send))
        watch = asyncio.ensure_future(_disconnect(receive))
        try:
            await asyncio.wait({answer, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                left.set()
                answer.cancel()
                await asyncio.wait({answer})
                raise ClientLeft
            await answer
        finally:
            watch.cancel()
            answer.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def error_content(error: RequestError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the answer to a refused request."""
    content = json.dumps({"error": error.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    return headers + [(name.lower().encode(), value.encode()) for name, value in error.headers.items()], content


async def _send_error(send: Send, error: RequestError) -> None:
    headers, content = error_content(error)
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _origin_host(header: bytes) -> str:
    return _host(header.decode("latin-1").partition("://")[2])


def _host(header: str) -> str:
    """Name in a ``Host`` header, without the port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()
