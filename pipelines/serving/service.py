"""State of a running service: opened runs, the model thread, the thread that writes, limits."""

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.serving.errors import RequestError
from pipelines.serving.limits import Limits
from pipelines.serving.map_settings import MapSettings
from pipelines.serving.runs import Run, Runs, open_runs
from pipelines.serving.warming import warm
from recsys_bert.errors import InputError
from recsys_bert.serving.batcher import Batcher, BatchLimits
from recsys_bert.serving.batcher import Run as Compute
from recsys_bert.serving.live_log import LiveEvent, LiveLog
from recsys_bert.terminal import printable

if TYPE_CHECKING:
    from pipelines.serving.layout import Layout
    from recsys_bert.stores.vector_store import VectorStore


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Settings of a service.

    Args:
        paths: Run folders by name.
        data: Prepared log; None: text runs only.
        state: SQLite file of events and items; None keeps them in memory.
        item_vectors: Text vectors of the log's items; None: there are none.
        store: Place of a store to search; None: there is none.
        store_kind: Its system.
        runtime: ``torch`` or ``onnxruntime``, for user vectors.
        search: ``exact``, or ``index`` where a run has one.
        batch: Limits of the batcher.
        limits: Limits of a request.
        map: Layout of the map of items.
    """

    paths: Mapping[str, Path]
    data: Path | None = None
    state: Path | None = None
    item_vectors: Path | None = None
    store: str | None = None
    store_kind: str = "faiss"
    runtime: str = "torch"
    search: str = "exact"
    batch: BatchLimits = field(default_factory=BatchLimits)
    limits: Limits = field(default_factory=Limits)
    map: MapSettings = field(default_factory=MapSettings)


class Service:
    """Opened runs behind one model thread.

    Args:
        settings: See there.

    Raises:
        InputError: A run, the log or the state cannot be opened.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.live = LiveLog(settings.state)
        self.store: VectorStore | None = None
        self._state = _state_of(settings.paths.values())  # before opening: what changes meanwhile is loaded again
        try:
            self.runs = self._open(1)
            if settings.store is not None:
                from recsys_bert.stores.opening import open_store

                self.store = open_store(settings.store, settings.store_kind)
        except BaseException:
            self.live.close()
            raise
        self.models = Batcher(settings.batch, "model")
        warm(self.runs)
        self.writes = Batcher(BatchLimits(items=256, cost=1 << 30, queue=settings.batch.queue, wait_s=0.0), "state")
        self.layouts: dict[tuple[int, str], Layout] = {}
        self.draining = False
        self.last_error: str | None = None
        self._reloading = asyncio.Lock()

    def _open(self, generation: int) -> Runs:
        settings = self.settings
        return open_runs(
            settings.paths,
            settings.data,
            self.live,
            generation,
            settings.item_vectors,
            settings.runtime,
            by_index=settings.search == "index",
        )

    @property
    def not_ready(self) -> str | None:
        """Reason why no request should be sent here; None where all is well."""
        if self.draining:
            return "the service is stopping."
        if not self.models.has_room:
            return "the queue is full."
        return None

    async def compute(self, run: Run, what: str, compute: Compute, item: Any, cost: int = 1) -> Any:
        """Compute an item on the model thread, with others that want the same of the same run."""
        return await self.models.submit((self.runs.generation, run.name, what), compute, item, cost)

    async def write(self, key: str, write: Callable[[list[Any]], list[Any]], item: Any) -> Any:
        """Write an item, with others in one transaction."""
        return await self.writes.submit(key, write, item)

    async def reload(self) -> Runs:
        """Open all runs anew; requests go on with the earlier ones until that is done, and after it where they began.

        Raises:
            RequestError: They cannot be opened; the earlier ones go on.
        """
        async with self._reloading:
            generation = self.runs.generation + 1
            try:
                runs = await asyncio.to_thread(self._open, generation)
                await asyncio.to_thread(warm, runs)
            except Exception as error:
                self.last_error = str(error)
                print(f"reload refused: {printable(str(error))}", file=sys.stderr, flush=True)
                if not isinstance(error, InputError):
                    raise
                raise RequestError(409, f"the runs were not reloaded, the earlier ones go on: {error}") from error
            self.runs, self.last_error = runs, None
            print(f"runs loaded again, generation {generation}", file=sys.stderr, flush=True)
            return runs

    async def watch(self, every_s: float) -> None:
        """Load the runs again whenever their folders have changed (a symbolic link that moved, a new training)."""
        while True:
            await asyncio.sleep(every_s)
            try:
                now = await asyncio.to_thread(_state_of, self.settings.paths.values())
                if now != self._state:
                    self._state = now
                    await self.reload()
            except RequestError:
                pass  # printed, and in /ready
            except Exception as error:  # a fault of ours with one run must not end the watch
                traceback.print_exception(error, file=sys.stderr)

    def add_events(self, batch: list[Sequence[LiveEvent]]) -> list[int]:
        """Write the events of several requests in one transaction."""
        self.live.add([event for events in batch for event in events])
        return [len(events) for events in batch]

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what was accepted, then close everything."""
        self.draining = True
        self.models.close(timeout_s)
        self.writes.close(timeout_s)
        self.live.close()
        store, self.store = self.store, None
        if store is not None:
            store.close()


def _state_of(paths: Iterable[Path]) -> list[Any]:
    """Real path of each run, and when its artefacts were last written."""
    state: list[Any] = []
    for path in paths:
        seals = [*path.glob("checksums.sha256"), *path.glob("*/checksums.sha256"), *path.glob("artefact.json")]
        times = []
        for seal in sorted(seals):
            with contextlib.suppress(OSError):
                times.append((str(seal), seal.stat().st_mtime_ns, seal.stat().st_ino))
        state.append((os.path.realpath(path), times))
    return state
