"""Rank the full catalogue with runs and baselines, compare them, and write a report."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines import BASELINES as KNOWN
from recsys_bert.stages.evaluate import BASELINES, evaluate
from recsys_bert.stages.evaluation.config import EvaluateConfig


@dataclass(frozen=True, kw_only=True)
class Config(EvaluateConfig):
    """Offline report on runs of `pretrain`, `train-retrieval` and `fuse`, beside simple baselines.

    Runs of `train-ctr` and of text commands add the metrics of their own test.
    """

    MAIN: ClassVar[tuple[str, ...]] = (
        "data",
        "out",
        "runs",
        "baselines",
        "split",
        "targets",
        "target_types",
        "ks",
        "indexes",
        "users",
        "seen",
        "cold_items",
        "item_vectors",
        "cold.neighbours",
        "groups",
        "correction",
        "samples",
        "seed",
        "truth",
        "json",
    )

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Folder for report.html, report.json, and metrics of every user and item in users.parquet and items.parquet; those
    of an earlier evaluation are replaced."""

    runs: tuple[Path, ...] = ()
    """Run folders; the first is what the others are compared with."""

    baselines: tuple[str, ...] = field(default=BASELINES, metadata={"names": KNOWN})
    """Baselines in the same table: names in ``BASELINES``, or ``module:Class``."""

    item_vectors: Path | None = None
    """Folder that `item-vectors` wrote, for cold_items."""

    truth: Path | None = None
    """The simulator's truth.parquet; adds the best possible recommender."""

    json: bool = False
    """Print what report.json holds on stdout, and the tables on stderr."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs and not self.baselines:
            raise InputError("there is nothing to evaluate: give --runs or --baselines.")
        _check_once("runs", [str(folder.resolve()) for folder in self.runs])
        _check_once("baselines", self.baselines)


def run(config: Config) -> dict[str, Any]:
    """Evaluate, write the report and print it.

    Returns:
        Contents of ``report.json``.

    Raises:
        InputError: See ``evaluate``.
    """
    from recsys_bert.clicks.dataset import open_dataset

    dataset = open_dataset(config.data)
    evaluation = evaluate(
        list(config.runs),
        dataset,
        baselines=config.baselines,
        truth=config.truth,
        item_vectors=config.item_vectors,
        out=config.out,
        config=config,
    )
    print(evaluation, file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(evaluation.results))
    print(f"report: {config.out / 'report.html'}", file=sys.stderr)
    return evaluation.results


def _check_once(setting: str, names: Sequence[str]) -> None:
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{setting} names {', '.join(double)} twice; name each once.")
