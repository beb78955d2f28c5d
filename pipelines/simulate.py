"""Simulate a click log with known probabilities: ``recsys-bert simulate --out runs/demo/log --users 3000``."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a simulated click log as Parquet files, with the best possible predictions of it."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "log.users",
        "log.items",
        "log.mean_events",
        "log.days",
        "log.impressions",
        "log.seed",
        "users_per_file",
        "json",
    )

    out: Path
    """Folder for clicks, items, users, impressions and the oracle's top items; an earlier log there is replaced."""

    log: Annotated[SimulateConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=SimulateConfig)
    """Settings of the log."""

    users_per_file: int = 100_000
    """Users in each file; memory holds one file at a time. With more users, tables become folders of parts."""

    truth_users: int | None = None
    """Users whose best possible items are written. None: all, or as many as keep users x items within 200 million."""

    json: bool = False
    """Print the counts and the best possible metrics as one JSON object."""

    def __post_init__(self) -> None:
        if self.users_per_file < 1 or (self.truth_users is not None and self.truth_users < 1):
            raise InputError("users-per-file and truth-users must be at least 1.")


def run(config: Config) -> dict[str, Any]:
    """Write the log; return the contents of its ``truth.json``."""
    from recsys_bert.clicks.simulation.simulate import write_simulation

    summary = write_simulation(
        config.log, config.out, users_per_file=config.users_per_file, truth_users=config.truth_users
    )
    if config.json:
        print(json.dumps(summary))
        return summary
    best = summary["best"]["test"].get("recall@10", {})
    aucs = ", ".join(f"{task} {auc:.3f}" for task, auc in summary["best_auc"].items())
    sys.stderr.write(
        f"{config.out}: {config.log.users:,} users, {config.log.items:,} items, {summary['clicks']:,} clicks, "
        f"{summary['impressions']:,} impressions.\n"
        f"Best possible recall@10 of the last click: {best.get('expected', float('nan')):.3f} expected, "
        f"{best.get('drawn', float('nan')):.3f} on the targets drawn. Best possible AUC: {aucs}.\n"
    )
    return summary
