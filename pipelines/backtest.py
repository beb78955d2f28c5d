"""backtest: several time cuts of one log, models trained anew before each and evaluated until the next."""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.retrieval.baselines import BASELINES as KNOWN
from recsys_bert.stages.evaluate import BASELINES
from recsys_bert.stages.evaluation.config import EvaluateConfig
from recsys_bert.stages.prepare import PrepareConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset

TRAINING = ("pretrain", "train-retrieval")


@dataclass(frozen=True, kw_only=True)
class Config(PrepareConfig):
    """Evaluate at several time cuts: at each, prepare the log, train on what came before, test until the next cut."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "events",
        "items",
        "users",
        "cuts",
        "models",
        "baselines",
        "out",
        "json",
        "log.user",
        "log.item",
        "log.time",
        "log.event",
        "log.events",
        "filters.min_user_events",
        "filters.min_item_events",
        "split.validation",
        "evaluation.targets",
        "evaluation.target_types",
        "evaluation.ks",
        "evaluation.seen",
        "evaluation.indexes",
    )

    events: str
    """A file, a folder or a glob of events."""

    items: Path | None = None
    """Side table of items."""

    users: Path | None = None
    """Side table of users."""

    cuts: tuple[str, ...]
    """Two ISO dates (UTC) or more, ascending: starts of the tests. Each test ends where the next begins, the last one
    with the log."""

    models: tuple[str, ...] = ()
    """Training commands with their recipes, as in train-retrieval:towers.toml; ``pretrain`` or ``train-retrieval``. The
    recipe's name is the model's."""

    baselines: tuple[str, ...] = field(default=BASELINES, metadata={"names": KNOWN})
    """Baselines in the same table: names in ``BASELINES``, or ``module:Class``."""

    evaluation: EvaluateConfig = field(default_factory=EvaluateConfig)
    """Settings of the evaluation at each cut."""

    out: Path
    """Folder for prepared logs, runs and reports of every cut, backtest.json and backtest.csv. The same command resumes
    there."""

    json: bool = False
    """Print what backtest.json holds on stdout, and the tables on stderr."""


def run(config: Config) -> dict[str, Any]:
    """Back-test, write the tables and print them.

    Returns:
        Contents of ``backtest.json``.

    Raises:
        InputError: See ``recsys_bert.stages.backtest.backtest``; or a model that cannot be trained so.
    """
    from dataclasses import fields

    from recsys_bert.stages.backtest import backtest

    settings = {option.name: getattr(config, option.name) for option in fields(PrepareConfig)}
    results = backtest(
        _models(config),
        config.events,
        cuts=config.cuts,
        items=config.items,
        users=config.users,
        baselines=config.baselines,
        evaluation=config.evaluation,
        out=config.out,
        config=PrepareConfig(**settings),
    )
    print(results, file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(results.results))
    print(f"tables: {config.out / 'backtest.csv'}", file=sys.stderr)
    return results.results


def _models(config: Config) -> "dict[str, Callable[[ClickDataset, Path], Any]]":
    """Training functions by name.

    Raises:
        InputError: A model is not written as ``COMMAND:RECIPE``, or two recipes have one name.
    """
    models: dict[str, Callable[[ClickDataset, Path], Any]] = {}
    for model in config.models:
        command, _, recipe = model.partition(":")
        if command not in TRAINING:
            raise unknown_name("command that can be back-tested", command, TRAINING)
        if not Path(recipe).is_file():
            raise InputError(f"models has {model!r}; give COMMAND:RECIPE, as train-retrieval:towers.toml, with a file.")
        if (name := Path(recipe).stem) in models:
            raise InputError(f"models has two recipes called {name}; give them names of their own.")
        models[name] = _trainer(command, Path(recipe))
    return models


def _trainer(command: str, recipe: Path) -> "Callable[[ClickDataset, Path], Path]":
    """Train by a recipe, in place of whose ``data`` and ``out`` stand those of the cut."""
    from pipelines.cli import COMMANDS
    from recsys_bert.settings import read_config

    pipeline = importlib.import_module(COMMANDS[command][0])
    read_config(pipeline.Config, recipe, {"data": "data", "out": "out"})  # refused before anything is trained

    def train(log: "ClickDataset", folder: Path) -> Path:
        pipeline.run(read_config(pipeline.Config, recipe, {"data": str(log.folder), "out": str(folder)}))
        return folder

    return train
