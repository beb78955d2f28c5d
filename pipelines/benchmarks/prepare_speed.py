"""Time and memory of ``recsys-bert prepare``, and of the same steps in pandas.

    python -m pipelines.benchmarks.prepare_log --out runs/log_10m --users 200000 --items 100000
    python -m pipelines.benchmarks.prepare_speed --log runs/log_10m --out runs/prepare_10m --pandas VENV/bin/python

Each run is a process of its own, the programs take turns, and pandas must come to the same counts. CPU seconds are user
and system time of all threads; they tell more than wall time where other work shares the cores. Peak memory is the
process' largest resident set, mapped files included.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmarks.tables import write_tables
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure prepare on one log."""

    log: Path
    """Folder of Parquet files with ``user_id, item_id, timestamp``; see ``prepare_log``."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    splits: tuple[str, ...] = ("leave_one_out", "time")
    """Splits to measure."""

    min_user_events: int = 10
    """Of the k-core."""

    min_item_events: int = 20
    """Of the k-core."""

    repeats: int = 1
    """Runs of each; the table has their medians."""

    pandas: Path | None = None
    """A Python that has pandas and pyarrow; None leaves pandas out."""

    def __post_init__(self) -> None:
        if not any(self.log.glob("*.parquet")):
            raise InputError(f"{self.log} holds no Parquet files. Make them with pipelines.benchmarks.prepare_log.")
        if self.repeats < 1:
            raise InputError(f"repeats is {self.repeats}; once is the least.")


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        Contents of the JSON file.
    """
    runs = []
    for split in config.splits:
        for _ in range(config.repeats):
            ours = _ours(config, split)
            runs.append(ours)
            print(json.dumps(ours), file=sys.stderr, flush=True)
            if config.pandas:
                theirs = _pandas(config, split, ours["rows"])
                if theirs["counts"] != ours["counts"]:
                    raise AssertionError(f"pandas counts {theirs['counts']}, prepare {ours['counts']}")
                runs.append(theirs)
                print(json.dumps(theirs), file=sys.stderr, flush=True)
    result = {"log": str(config.log), "cores": os.cpu_count(), "runs": runs}
    table = _table(runs)
    write_tables(config.out, table, result)
    return result


def _ours(config: Config, split: str) -> dict[str, Any]:
    flags = {
        "events": config.log,
        "out": _folder(config),
        "filters.min-user-events": config.min_user_events,
        "filters.min-item-events": config.min_item_events,
        "split.kind": split,
    }
    arguments = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    manifest, measured = _measured([sys.executable, "-m", "pipelines.cli", "prepare", *arguments, "--json"], config)
    names = ("users", "items", "events", "training_events", "validation_events", "test_events")
    counts = {name: manifest["counts"][name] for name in names}
    return {
        "program": "recsys-bert prepare",
        "split": split,
        "rows": manifest["log"]["rows"],
        "counts": counts,
    } | measured


def _pandas(config: Config, split: str, rows: int) -> dict[str, Any]:
    script = Path(__file__).with_name("prepare_pandas.py")
    minima = (config.min_user_events, config.min_item_events)
    words = (config.pandas, script, config.log, _folder(config), split, *minima)
    counts, measured = _measured([str(word) for word in words], config)
    return {"program": "pandas", "split": split, "rows": rows, "counts": counts} | measured


def _folder(config: Config) -> Path:
    return config.out.with_name(f"{config.out.name}-folder")


def _measured(command: list[str], config: Config) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a program that prints JSON and writes a folder; this process stays small, for its memory would count too."""
    shutil.rmtree(_folder(config), ignore_errors=True)
    _folder(config).parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise InputError(f"{' '.join(command)} ended with status {process.returncode}.")
    written = sum(file.stat().st_size for file in _folder(config).rglob("*") if file.is_file())
    shutil.rmtree(_folder(config))
    return json.loads(printed), {
        "wall_seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,  # Linux counts KiB
        "written_bytes": written,
    }


def _table(runs: list[dict[str, Any]]) -> str:
    head = "| program | events | split | wall s | CPU s | events a second | a CPU second | peak GiB | written MiB |\n"
    lines = [head, "|---|---|---|---|---|---|---|---|---|\n"]
    for program, split in dict.fromkeys((one["program"], one["split"]) for one in runs):
        mine = [one for one in runs if (one["program"], one["split"]) == (program, split)]
        wall, cpu, peak, written = (
            statistics.median(one[name] for one in mine)
            for name in ("wall_seconds", "cpu_seconds", "peak_bytes", "written_bytes")
        )
        rows = mine[0]["rows"]
        lines.append(
            f"| {program} | {rows:,} | {split} | {wall:.1f} | {cpu:.1f} | {rows / wall:,.0f} | {rows / cpu:,.0f} "
            f"| {peak / 2**30:.2f} | {written / 2**20:,.0f} |\n"
        )
    return "".join(lines)


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.prepare_speed"))
