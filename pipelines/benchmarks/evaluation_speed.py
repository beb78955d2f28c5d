"""Speed of full ranking: users per second encoded, scored, with seen items removed, top ten.

    python -m pipelines.benchmarks.evaluation_speed --data runs/data/ml-1m --out runs/evaluation --peer VENV/bin/python

An encoder with fresh weights ranks all test users (``evaluation_turn``); weights change no speed. With ``--peer``, the
interpreter of an environment that has RecTools, its SASRec of the same sizes ranks the same users with the same
histories (``rectools_recommend.py``). Both take turns, each turn in a process of its own, so that whatever else the
machine does meets both. Reading the data and starting are not counted, on either side; nor is RecTools' training step.
"""

import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmarks.processes import run_alone
from pipelines.benchmarks.tables import write_tables
from pipelines.support.flags import load_config
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the speed of full ranking."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    dims: tuple[int, ...] = (64, 128)
    """Widths of the encoder."""

    n_layers: int = 2
    """Layers, of one head."""

    max_len: int = 200
    """Longest input, in positions."""

    k: int = 10
    """Length of the lists."""

    rounds: int = 3
    """Turns of each; the table has medians over them."""

    peer: str = ""
    """Python interpreter of an environment with RecTools."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.dims:
            raise InputError(f"rounds is {self.rounds} and dims {list(self.dims)}; give at least one of both.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: The data is not there, or a program fails.
    """
    names = ["ours", "RecTools SASRec"] if config.peer else ["ours"]
    turns: dict[tuple[str, int], list[dict[str, Any]]] = {(name, dim): [] for dim in config.dims for name in names}
    exported = config.out.with_name(f"{config.out.name}.npz")
    exported.unlink(missing_ok=True)  # one that was left behind may be of another log
    with Progress("evaluation speed", config.rounds * len(turns), "turns") as progress:
        for _ in range(config.rounds):
            for (name, dim), mine in turns.items():
                mine.append(_ours(config, dim, exported) if name == "ours" else _peer(config, dim, exported))
                progress.advance(turn=f"{name} {dim}", users_per_s=mine[-1]["users_per_s"])
    exported.unlink(missing_ok=True)
    settings = {name: value for name, value in asdict(config).items() if name not in ("data", "out", "peer")}
    rows = [_row(name, dim, turns) for name, dim in turns]
    result = {"config": settings, "machine": {"cores": os.cpu_count()}, "rows": rows}
    table = _table(config, rows)
    write_tables(config.out, table, result)
    return result


def _ours(config: Config, dim: int, exported: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipelines.benchmarks.evaluation_round", "--data", str(config.data)]
    command += ["--export", str(exported), "--k", str(config.k)]
    return _told([*command, *_sizes(config, dim)])


def _peer(config: Config, dim: int, exported: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("rectools_recommend.py")
    return _told([config.peer, str(script), "--log", str(exported), "--k", str(config.k), *_sizes(config, dim)])


def _sizes(config: Config, dim: int) -> list[str]:
    return ["--dim", str(dim), "--n-layers", str(config.n_layers), "--max-len", str(config.max_len)]


def _told(command: list[str]) -> dict[str, Any]:
    ended = run_alone(command)
    for line in reversed(ended.stdout.splitlines()):
        if '"users_per_s"' in line:
            return json.loads(line) | {"peak_bytes": ended.peak_bytes}
    raise InputError(f'{" ".join(command)} printed no JSON line with "users_per_s".\n{ended.stderr}')


def _row(name: str, dim: int, turns: dict[tuple[str, int], list[dict[str, Any]]]) -> dict[str, Any]:
    mine, theirs = turns[name, dim], turns.get(("RecTools SASRec", dim), [])
    speeds = [turn["users_per_s"] for turn in mine]
    ratios = [speed / turn["users_per_s"] for speed, turn in zip(speeds, theirs, strict=False)]
    return {
        "name": name,
        "dim": dim,
        "users_per_s": statistics.median(speeds),
        "rounds": speeds,
        "times_peer": statistics.median(ratios) if ratios and name == "ours" else None,
        "users": mine[0]["users"],
        "items": mine[0]["items"],
        "threads": mine[0]["threads"],
        "peak_bytes": max(turn["peak_bytes"] for turn in mine),
    }


def _table(config: Config, rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    text = (
        f"{first['users']:,} users ranked against {first['items']:,} items, best {config.k}, without what they had; "
        f"{config.n_layers} layers, length {config.max_len}, {config.rounds} alternating rounds, {os.cpu_count()} CPU "
        f"cores, {first['threads']} threads.\n\n"
        "| program | dim | users a second | rounds, lowest to highest | times the peer | peak MiB |\n"
        "|---|---|---|---|---|---|\n"
    )
    for row in rows:
        ratio = "" if row["times_peer"] is None else f"{row['times_peer']:.2f}"
        text += (
            f"| {row['name']} | {row['dim']} | {row['users_per_s']:,.0f} | {min(row['rounds']):,.0f} to "
            f"{max(row['rounds']):,.0f} | {ratio} | {row['peak_bytes'] / 2**20:,.0f} |\n"
        )
    return text


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.evaluation_speed"))
