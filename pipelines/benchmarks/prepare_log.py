"""A simulated click log of any size as a shop would keep it: one Parquet file a day, events of a day in order of time.

    python -m pipelines.benchmarks.prepare_log --out runs/log_100m --users 2000000 --items 1000000

The events are those of ``recsys-bert simulate``, which come by users; here they are dealt out to days. Memory holds one
part of the users, then one day.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a simulated click log, one file a day."""

    out: Path
    """Folder to write; an earlier one is replaced."""

    users: int = 2_000_000
    """Users."""

    items: int = 1_000_000
    """Items; popularity is Zipf's."""

    mean_events: float = 50.2
    """Mean events of a user; their number is geometric above 5, at most 1,000."""

    seed: int = 0
    """Of the log."""


def run(config: Config) -> int:
    """Write the log.

    Returns:
        Its events.
    """
    from recsys_bert.clicks.simulation.simulate import SimulateConfig, write_simulation
    from recsys_bert.files import replacing

    simulated = SimulateConfig(
        users=config.users,
        items=config.items,
        mean_events=config.mean_events,
        max_events=1_000,
        impressions=0.0,
        seed=config.seed,
    )
    with replacing(config.out) as temporary, tempfile.TemporaryDirectory(dir=config.out.parent) as work:
        write_simulation(simulated, Path(work) / "log", truth_users=1)
        temporary.mkdir()
        n_events = _deal(
            sorted(Path(work).glob("log/clicks/*.parquet")) or [Path(work) / "log/clicks.parquet"], temporary
        )
    print(f"{n_events:,} events in {config.out}")
    return n_events


def _deal(parts: list[Path], folder: Path) -> int:
    """Write ``day-NNNN.parquet``, each sorted by time. The parts are too, so few of their row groups are read a day."""
    import polars as pl

    from recsys_bert.progress import Progress

    table = pl.scan_parquet(parts)
    ends = table.select(pl.min("timestamp").alias("first"), pl.max("timestamp").alias("last"))
    first, last = ends.collect(engine="streaming").row(0)
    n_events = 0
    with Progress("days", last // DAY - first // DAY + 1, "days") as progress:
        for day in range(first // DAY, last // DAY + 1):
            events = _of_day(table, day)
            if len(events):
                events.write_parquet(folder / f"day-{day - first // DAY:04d}.parquet")
            n_events += len(events)
            progress.advance()
    return n_events


def _of_day(table: "pl.LazyFrame", day: int) -> "pl.DataFrame":
    import polars as pl

    of_day = pl.col("timestamp").is_between(day * DAY, (day + 1) * DAY, closed="left")
    return table.filter(of_day).collect(engine="streaming").sort("timestamp", "user_id")


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.prepare_log"))
