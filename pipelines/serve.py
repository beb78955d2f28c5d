"""Answer over HTTP from trained runs, or as MCP tools."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipelines.serving.limits import Limits
from pipelines.serving.map_settings import MapSettings
from recsys_bert.errors import InputError
from recsys_bert.progress import quietly

if TYPE_CHECKING:
    import socket

    from pipelines.serving.service import Service

_KEY = "RECSYS_BERT_API_KEY"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Answer over HTTP from trained runs: recommendations, click probabilities, text tasks, vectors."""

    POSITIONAL: ClassVar[str] = "runs"
    MAIN: ClassVar[tuple[str, ...]] = (
        *(
            "runs",
            "data",
            "item_vectors",
            "state",
            "store",
            "store_kind",
            "runtime",
            "search",
            "host",
            "port",
            "api_key_file",
        ),
        *("without_key", "batch", "wait_ms", "queue", "shed_ms", "timeout_s", "drain_s", "watch_s", "mcp", "threads"),
    )

    runs: tuple[str, ...] = ()
    """Run folders of any kind, `NAME=PATH` or `PATH`; a symbolic link that moves to another run loads that one."""

    data: Path | None = None
    """Folder that `prepare` wrote; recommenders and CTR models need it."""

    item_vectors: Path | None = None
    """Folder that `item-vectors` wrote of this log: for words in /recommend and new items in /items."""

    state: Path | None = None
    """SQLite file for events and items that came by requests; without one they are lost when the service ends."""

    store: str | None = None
    """Folder or address of a store that `store load` filled, for /search."""

    store_kind: str = "faiss"
    """System of the store."""

    host: str = "127.0.0.1"
    """Address to bind; other than loopback ones need an API key."""

    port: int = 8125
    """Port to bind; 0 takes a free one."""

    api_key_file: Path | None = None
    """File with the API key that requests must bring; or set RECSYS_BERT_API_KEY."""

    without_key: bool = False
    """Serve other machines without an API key."""

    runtime: Literal["torch", "onnxruntime"] = "torch"
    """What computes the vectors of users: torch, or onnxruntime (several times as fast for one request; float32), to
    which the user side of each run is exported when it is opened."""

    search: Literal["exact", "index"] = "exact"
    """Search of items for a user: exact over all, or by the FAISS index in the run's folder where there is one, which
    is approximate unless it is flat. Lists by words and nearest items are exact."""

    batch: int = 32
    """Requests that are computed together at most."""

    batch_cost: int = 4096
    """Tokens, or lists, that are computed together at most."""

    wait_ms: float = 3.0
    """Milliseconds to wait for a fuller batch where two requests are queued; one alone never waits."""

    queue: int = 256
    """Requests that wait at most; more get 503 and Retry-After."""

    shed_ms: float = 250.0
    """Milliseconds that a request may be expected to take: where a batch and a half are under way and another would
    take longer, it gets 503 and Retry-After at once; 0: only the queue counts."""

    timeout_s: float = 10.0
    """Seconds until a request without an answer gets 504, and until a body has to be there."""

    drain_s: float = 20.0
    """Seconds for requests that are under way when SIGTERM comes."""

    watch_s: float = 2.0
    """Seconds between looks at the run folders, which are loaded again when they change; 0: only by /reload."""

    mcp: bool = False
    """Answer as MCP tools over stdin and stdout instead of HTTP."""

    threads: int = 0
    """Threads of a matrix product; 0: as many as there are cores."""

    limits: Limits = field(default_factory=Limits)
    """Most that one request may ask for."""

    map: MapSettings = field(default_factory=MapSettings)
    """Map of items on the page."""

    def __post_init__(self) -> None:
        for name in ("batch", "batch_cost", "queue"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("timeout_s", "drain_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("wait_ms", "shed_ms", "watch_s", "threads"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0.")
        if not 0 <= self.port < 65536:
            raise InputError(f"port is {self.port}; it must lie in 0 to 65535.")


def run(config: Config) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        InputError: A run, log, state file, port or key that does not do.
    """
    try:
        from pipelines.serving.server import bind, is_loopback
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'recsys-bert[serve]'.") from error
    os.environ.setdefault(
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"
    )  # 1,024 kernels of batch shapes are 400 MiB, no faster
    if config.mcp:
        _serve_mcp(config)
        return
    key = _api_key(config, loopback=is_loopback(config.host))
    with bind(config.host, config.port) as bound:  # before any work
        _serve(config, bound, key)


def _serve_mcp(config: Config) -> None:
    from pipelines.serving.mcp_tools import serve_mcp

    service = open_service(config)
    try:
        with quietly():
            serve_mcp(service)
    finally:
        service.close(config.drain_s)


def _serve(config: Config, bound: "socket.socket", key: str | None) -> None:
    from pipelines.serving.server import is_loopback, serve

    service, port = open_service(config), bound.getsockname()[1]
    hosts = ("127.0.0.1", "localhost", "::1", config.host) if is_loopback(config.host) and key is None else ()
    app = build_app(config, service, key, hosts)
    bound.listen(2048)  # from here on connections wait for the server to start
    names = ", ".join(f"{run.name} ({run.kind})" for run in service.runs.by_name.values())
    address = f"[{config.host}]" if ":" in config.host else config.host
    print(f"serving {names} on http://{address}:{port}", file=sys.stderr, flush=True)
    if not service.live.is_durable:
        print("events and items are lost when the service ends; --state FILE keeps them.", file=sys.stderr, flush=True)
    with quietly():
        serve(app, bound, config.drain_s)
    print("stopped: every accepted request was answered.", file=sys.stderr, flush=True)


def open_service(config: Config) -> "Service":
    """Open the runs of a config.

    Raises:
        InputError: One cannot be opened.
    """
    import torch

    from pipelines.serving.runs import named_paths
    from pipelines.serving.service import Service, ServiceSettings
    from recsys_bert.serving.batcher import BatchLimits

    if config.threads:
        torch.set_num_threads(config.threads)
    batch = BatchLimits(
        items=config.batch,
        cost=config.batch_cost,
        queue=config.queue,
        wait_s=config.wait_ms / 1000,
        timeout_s=config.timeout_s,
    )
    paths = named_paths(config.runs)
    return Service(
        ServiceSettings(
            paths=paths,
            data=config.data,
            state=config.state,
            item_vectors=config.item_vectors,
            store=config.store,
            store_kind=config.store_kind,
            runtime=config.runtime,
            search=config.search,
            batch=batch,
            limits=config.limits,
            map=config.map,
        )
    )


def build_app(config: Config, service: "Service", key: str | None = None, hosts: tuple[str, ...] = ()) -> object:
    """The ASGI application of a config; see ``create_app``."""
    from pipelines.serving.admission import AdmissionLimits
    from pipelines.serving.app import create_app
    from pipelines.serving.guard import GuardSettings

    free = config.batch + config.batch // 2  # keeps the model at work while the next batch comes in
    admission = AdmissionLimits(free=free, most=config.queue + 2 * config.batch, seconds=config.shed_ms / 1000)
    guard = GuardSettings(
        key=key,
        hosts=hosts,
        body_bytes=config.limits.body_kib << 10,
        body_s=config.timeout_s,
        admission=admission,
    )
    return create_app(service, guard, config.watch_s)


def _api_key(config: Config, *, loopback: bool) -> str | None:
    """The API key; None where none is needed.

    Raises:
        InputError: One is needed.
    """
    from pipelines.serving.server import check_key, read_key

    if config.api_key_file is not None:
        return read_key(config.api_key_file)
    if key := os.environ.get(_KEY):
        return check_key(key, _KEY)
    if not loopback and not config.without_key:
        raise InputError(
            f"{config.host} is reached by other machines, and there is no API key. Give --api-key-file FILE (or "
            f"{_KEY}), or say --without-key."
        )
    return None
