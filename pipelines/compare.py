"""Train every cell of a grid with several seeds, and tell the cells apart on the test."""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from pipelines.comparison.measures import Measures
    from pipelines.comparison.trials import Trial

_LEVEL = 0.95  # coverage of the intervals


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare settings: train every cell of a grid with several seeds, and test the cells against the first one.

    It goes before the command that trains and its recipe: compare text classify train recipe.toml --grid … --out ….
    Called again with the same folder it goes on where it stopped, tries what failed again, and a grid that has grown
    takes what is there.
    """

    command: tyro.conf.Positional[tuple[str, ...]]
    """The command that trains, and its recipe, as one would run it: text classify train recipe.toml."""

    out: Path
    """Folder for the runs, compare.json, compare.html and compare.png."""

    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, as in encoder.fusion=last,scalar_mix; give one --grid a setting. All combinations are
    trained. With one value it holds in all cells, in place of the recipe's. A later one of the same setting replaces an
    earlier one."""

    skip: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Combinations to leave out, as in 'encoder.neck=none encoder.residual=concat,none': those that have one of the
    values of each setting."""

    seeds: int = 3
    """Trainings of each cell, with train.seed 0, 1, 2, …"""

    target_share: float = 0.99
    """Convergence is timed to this share of the first cell's best validation figure."""

    json: bool = False
    """Print what compare.json holds on stdout, and the tables on stderr."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds is {self.seeds}; each cell is trained at least once.")
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise InputError("compare trains one run after the other in one process; start it without torchrun.")
        if not 0 < self.target_share <= 1:
            raise InputError(f"target_share is {self.target_share}; it must lie in (0, 1], as 0.99 does.")


def run(config: Config) -> dict[str, Any]:
    """Train what is missing, measure, and write the report; a run that fails is told of and does not stop the others.

    Returns:
        What ``compare.json`` holds.

    Raises:
        InputError: A grid, a recipe or a cell that cannot be trained, all before any training; or every run failed.
    """
    from pipelines.comparison.grid import cells, parse_grid
    from pipelines.comparison.trials import check, make_trials
    from recsys_bert.evaluation.report.comparison import page, text
    from recsys_bert.evaluation.report.pictures import available
    from recsys_bert.files import replacing, write_json
    from recsys_bert.training.run_folder import check_writable, only_checking

    name, recipe = _command(config.command)
    pipeline, measures = _pipeline(name)
    axes = parse_grid(config.grid)
    trials = make_trials(pipeline.Config, recipe, cells(axes, config.skip), config.seeds, config.out)

    def rehearse(settings: Any) -> None:
        with only_checking():
            pipeline.run(settings)

    with contextlib.redirect_stdout(sys.stderr):  # stdout gets the figures alone
        check(trials, measures, rehearse)
        check_writable(config.out)
        failed = _train(trials, pipeline.run, measures)
    results = _results(config, f"{name} {recipe.name}", trials, failed)
    write_json(config.out / "compare.json", results)
    with replacing(config.out / "compare.html") as aside:
        aside.write_text(page(results), encoding="utf-8")
    if available():
        from recsys_bert.evaluation.report.comparison_pictures import picture

        with replacing(config.out / "compare.png") as aside:
            aside.write_bytes(picture(results))
    print(text(results), file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(results))
    print(f"report: {config.out / 'compare.html'}", file=sys.stderr)
    return results


def _command(words: Sequence[str]) -> tuple[str, Path]:
    """Take the words apart: the command, and the recipe at the end."""
    if len(words) < 2 or not words[-1].endswith(".toml"):
        raise InputError(
            f"say what is to be trained, command and recipe, as in `compare text classify train recipe.toml`; got "
            f"{' '.join(words) or 'nothing'!r}."
        )
    return " ".join(words[:-1]), Path(words[-1])


def _pipeline(name: str) -> "tuple[Any, Measures]":
    import importlib

    from pipelines.cli import COMMANDS
    from pipelines.comparison.measures import MEASURES
    from recsys_bert.errors import unknown_name

    if name not in MEASURES:
        raise unknown_name("command that can be compared", name, MEASURES)
    return importlib.import_module(COMMANDS[name][0]), MEASURES[name]


def _train(trials: "Sequence[Trial]", run: Any, measures: "Measures") -> dict[str, str]:
    """Train and measure what is not finished.

    Returns:
        Why a run failed, by its name.
    """
    from pipelines.comparison.trials import train

    missing, failed, began = [trial for trial in trials if not trial.is_finished], dict[str, str](), time.monotonic()
    if len(missing) < len(trials):
        print(f"{len(trials) - len(missing)} of {len(trials)} runs are there already", file=sys.stderr)
    for done, trial in enumerate(missing):
        left = (time.monotonic() - began) / done * (len(missing) - done) if done else None
        told = f"run {done + 1} of {len(missing)}: {trial}" + (f" (about {left / 60:.0f} min left)" if left else "")
        print(told, file=sys.stderr, flush=True)
        try:
            train(trial, trials, run, measures)
        except KeyboardInterrupt:
            print("what is finished stays; the same command goes on from here.", file=sys.stderr)
            raise
        except InputError as error:
            failed[str(trial)] = str(error)
        except Exception as error:  # whatever it is, hours of other runs are not to be lost for it
            traceback.print_exc()
            failed[str(trial)] = f"{type(error).__name__}: {error}"
        if str(trial) in failed:
            print(f"failed: {failed[str(trial)]}", file=sys.stderr)
    if len(failed) == len(trials):
        raise InputError("every run failed:\n" + "\n".join(f"{name}: {why}" for name, why in failed.items()))
    return failed


def _results(config: Config, title: str, trials: "Sequence[Trial]", failed: dict[str, str]) -> dict[str, Any]:
    """Everything that the report shows, as plain numbers."""
    from pipelines.comparison.trials import finished_run
    from pipelines.support.index_comparison import machine
    from recsys_bert import __version__
    from recsys_bert.evaluation.comparison import against_first, describe, target_of

    monitor = trials[0].config.train.monitor
    runs: dict[str, list[Any]] = {trial.cell.name: [] for trial in trials}
    for trial in trials:
        if trial.is_finished:
            found, measure = finished_run(trial, monitor)
            runs[trial.cell.name].append(found)
    first = next(iter(runs))
    target = target_of(runs[first], config.target_share)
    results = {
        "title": title,
        "version": __version__,
        "machine": machine(),
        "level": _LEVEL,
        "measure": measure,
        "monitor": monitor,
        "examples": max(len(one.examples) for some in runs.values() for one in some),
        "seeds": config.seeds,
        "target": target,
        "target_share": config.target_share,
        "cells": [
            {
                "name": trial.cell.name,
                "values": trial.cell.values,
                "folder": str(trial.out.parent),
                "seeds": [one.seed for one in runs[trial.cell.name]],
                "runs": [_told(one) for one in runs[trial.cell.name]],
                **describe(runs[trial.cell.name], target),
            }
            for trial in trials
            if trial.seed == 0
        ],
        "comparisons": against_first(runs, level=_LEVEL),
        "failed": [{"run": name, "why": why} for name, why in failed.items()],
        "config": asdict(config),
    }
    plain: dict[str, Any] = json.loads(json.dumps(results, default=str))
    return plain


def _told(run: Any) -> dict[str, Any]:
    """A run without its examples, which are in its folder."""
    return {name: value for name, value in asdict(run).items() if name != "examples"}
