"""The service at several times the load that it can take, and latency against load.

    python -m pipelines.benchmarks.overload --seconds 60
    python -m pipelines.benchmarks.overload --curve latency.svg

Requests are sent at the times of a schedule, whatever comes back; latency counts from the scheduled time. Meanwhile a
process of its own asks for ``/health``, every 20th request puts an event, and one a second puts an item. When the
service has ended, what it acknowledged is looked for in its state file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pipelines.benchmarks.load import Answers, Request, closed_loop, open_loop
from pipelines.benchmarks.serving import log_and_towers, recommending, rss, serve, server
from recsys_bert.serving.live_log import LiveLog

_EVENTS, _CLIENTS = 20, 32
_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


def saturation(url: str, requests: int = 2_000) -> tuple[float, float]:
    """Requests a second, and p99 in ms, of 32 clients in a closed loop."""
    closed_loop(url, [recommending(number) for number in range(requests // 4)], _CLIENTS)
    answers = closed_loop(url, [recommending(number) for number in range(requests)], _CLIENTS)
    return requests / answers.wall_s, answers.quantile_ms("/recommend", 0.99)


def mixed(rate: float) -> Any:
    """Lists, every 20th request an event, and an item a second."""

    def request(number: int) -> Request:
        if number % round(rate) == round(rate) // 2:
            text = f"word{number % 3000} word{number % 7} word11"
            return "/items", {"items": [{"item_id": 10**9 + number, "text": text}]}
        if number % _EVENTS == 0:
            event = {"user_id": 1 + number % 3000, "item_id": number % 1000, "timestamp": number}
            return "/events", {"events": [event]}
        return recommending(number)

    return request


@contextmanager
def watched(url: str, process: psutil.Process, seconds: float) -> Iterator[dict[str, Any]]:
    """Health times of a prober in a process of its own, and the memory of each second."""
    report: dict[str, Any] = {"rss": []}
    prober = subprocess.Popen(
        [sys.executable, "-m", "pipelines.benchmarks.load", url, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(1.0):
            report["rss"].append(rss(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield report
        report["health_ms"] = json.loads(prober.communicate(timeout=60)[0])
    finally:
        stop.set()
        sampler.join()
        prober.kill()
        prober.wait()


def overload(options: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """Load of several times saturation: what was answered, refused, lost; health and memory meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state.db"
        with server(serve(*flags, "--state", str(state))) as (url, process, _):
            full, full_p99 = saturation(url)
            rate = options.times * full
            with watched(url, process, options.seconds) as report:
                answers = open_loop(url, mixed(rate), rate, options.seconds, ("/events", "/items"))
            after = saturation(url, 200)
        lost = lost_puts(answers, state)
    memory = report["rss"]
    middle = len(memory) // 2
    accepted_p99 = answers.quantile_ms("/recommend", 0.99)
    return {
        "saturation_s": round(full, 1),
        "saturation_p99_ms": round(full_p99, 1),
        "scheduled_s": round(rate, 1),
        "sent": answers.sent,
        "sent_s": round(answers.sent / options.seconds, 1),
        "late_p99_ms": round(answers.late_ms, 1),
        "statuses": {path: dict(sorted(counts.items())) for path, counts in answers.statuses.items()},
        "hanging": answers.hanging,
        "accepted_p50_ms": round(answers.quantile_ms("/recommend", 0.5), 1),
        "accepted_p99_ms": round(accepted_p99, 1),
        "p99_ratio": round(accepted_p99 / full_p99, 2),
        "health_max_ms": round(max(report["health_ms"]), 1),
        "lost": lost,
        "rss_mib": [round(memory[at]) for at in (0, middle, -1)],
        "saturation_afterwards_s": round(after[0], 1),
    }


def lost_puts(answers: Answers, state: Path) -> dict[str, list[int]]:
    """Acknowledged events and items, and how many of them are not in the state file."""
    log = LiveLog(state)
    try:
        n_events, items = log.counts()["events"], {item.item_id for item in log.items()}
    finally:
        log.close()
    accepted = sum(json.loads(body)["accepted"] for body in answers.bodies.get("/events", ()))
    put = {str(item) for body in answers.bodies.get("/items", ()) for item in json.loads(body)["put"]}
    return {"events": [accepted, max(0, accepted - n_events)], "items": [len(put), len(put - items)]}


def curve(options: argparse.Namespace, flags: list[str]) -> list[dict[str, float]]:
    """Latency of accepted lists at several loads."""
    with server(serve(*flags)) as (url, process, _):
        full, _ = saturation(url)
        rows = []
        for share in _SHARES:
            rate = share * full
            answers = open_loop(url, recommending, rate, options.curve_seconds)
            statuses = answers.statuses["/recommend"]
            quantiles = {f"p{q}_ms": round(answers.quantile_ms("/recommend", q / 100), 1) for q in (50, 99)}
            served = statuses[200] / answers.wall_s
            rows.append({"load": share, "rate": round(rate, 1), "served_s": round(served, 1), **quantiles})
            rows[-1]["refused"] = round(statuses[503] / answers.sent, 3)
            print(json.dumps(rows[-1]), flush=True)
    del process
    return rows


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Picture of latency and refusals against load, as SVG or PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6, 5), sharex=True, height_ratios=(3, 2))
    load = np.array([row["load"] for row in rows])
    for name, label in (("p50_ms", "p50"), ("p99_ms", "p99")):
        upper.plot(load, [row[name] for row in rows], "o-", label=label)
    upper.set(yscale="log", ylabel="latency of accepted, ms")
    upper.legend()
    lower.plot(load, [row["served_s"] for row in rows], "o-", color="tab:green", label="answered a second")
    lower.plot(load, [row["rate"] for row in rows], ":", color="tab:gray", label="sent a second")
    lower.set(xscale="log", xlabel="load, in saturations", ylabel="requests a second", xticks=load)
    lower.set_xticklabels([f"{share:g}" for share in load])
    lower.minorticks_off()
    lower.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/serving"), help="for the log and the towers")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="600 at most")
    parser.add_argument("--times", type=float, default=4.0, help="saturations")
    parser.add_argument("--curve", type=Path, help="picture to draw, .svg or .png, in place of the overload")
    parser.add_argument("--curve-seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of serve")
    options = parser.parse_args()
    options.seconds = min(options.seconds, 600.0)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    flags = [*log_and_towers(options.folder / str(options.items), options.items), *options.flags]
    if options.curve is None:
        print(json.dumps(overload(options, flags)))
    else:
        draw(curve(options, flags), options.curve)


if __name__ == "__main__":
    main()
