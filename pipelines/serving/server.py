"""Run the application under uvicorn: one process, a socket that is bound before any work, a graceful end."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from pipelines.serving.protocol import SheddingProtocol
from recsys_bert.errors import InputError

_SWITCH_S = 0.0005
"""Most that the event loop waits for the interpreter, at each read and write, while the model computes; 5 ms add up."""


class Server(uvicorn.Server):
    """uvicorn whose end by SIGTERM or Ctrl-C is a normal one: the handlers of the command line come back afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully at the first signal, at once at the second Ctrl-C; raise nothing afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """Bind a port.

    Raises:
        InputError: It is in use, or the host is not one of this machine.
    """
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error}"
            raise InputError(f"port {port} of {host} {reason}. Choose another --port; 0 takes a free one.") from error
        stack.pop_all()
        return bound


def is_loopback(host: str) -> bool:
    """True iff only this machine reaches the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(app: Any, bound: socket.socket, drain_s: float) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what was accepted.

    Args:
        app: ASGI application.
        bound: Socket.
        drain_s: Seconds for requests that are under way when the end comes.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    config = uvicorn.Config(
        app,
        http=SheddingProtocol,
        loop="asyncio",  # uvloop accepts one connection a turn: in a rush the others' are dropped and wait for seconds
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(drain_s)),
        timeout_keep_alive=30,
    )
    server = Server(config)
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[bound]))


def read_key(path: Path) -> str:
    """API key in a file.

    Raises:
        InputError: It cannot be read, or is shorter than 16 characters.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the API key file {path} cannot be read: {error}.") from error
    return check_key(key, str(path))


def check_key(key: str, source: str) -> str:
    """Refuse a key that is short or is no word.

    Raises:
        InputError: So it is.
    """
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the API key in {source} must be one word of 16 or more ASCII characters.")
    return key
