"""Connections that refuse what admission refuses as soon as the head of a request was read.

Beyond saturation most requests are refused. Built, routed and answered as an ASGI request each costs a third of a
millisecond of the one event loop; three times as many as can be served would hold up those that are. Refused here, one
costs a tenth of that, so that health and accepted requests go on.
"""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pipelines.serving.errors import RequestError
from pipelines.serving.guard import HEADERS, Guard, error_content


class SheddingProtocol(HttpToolsProtocol):
    """HTTP/1.1 connection in front of a ``Guard``."""

    _refused: RequestResponseCycle | None = None

    def on_headers_complete(self) -> None:
        """Refuse the request if it would wait too long, else go on with it."""
        guard: Guard = cast(Any, self.config.loaded_app)
        path = self.url.decode("latin-1")
        idle = self.cycle is None or self.cycle.response_complete  # no earlier request of a pipeline is under way
        if idle and path in guard.admitted and (refusal := guard.admission.refusal()) is not None:
            guard.metrics.count(path, refusal.status, 0.0)
            ended = SimpleNamespace(response_complete=True, message_event=asyncio.Event())  # its body is passed over
            self.cycle = self._refused = cast(RequestResponseCycle, ended)
            self.transport.write(_response(refusal))
            if not self.parser.should_keep_alive():
                self.transport.close()
            return
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read; a connection whose last request was refused is closed when nothing more comes."""
        super().data_received(data)
        if self.cycle is self._refused is not None and self.timeout_keep_alive_task is None:
            seconds = self.timeout_keep_alive
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)


def _response(error: RequestError) -> bytes:
    headers, content = error_content(error)
    lines = [b"HTTP/1.1 503 Service Unavailable", *(name + b": " + value for name, value in [*headers, *HEADERS])]
    return b"\r\n".join([*lines, b"", content])
