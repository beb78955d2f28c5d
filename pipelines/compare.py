"""Train every configuration of a grid with several seeds, and test them against the first one."""

import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.stages.compare import CompareConfig, compare_runs

if TYPE_CHECKING:
    from recsys_bert.stages.comparison.runs import Trainer


@dataclass(frozen=True, kw_only=True)
class Config(CompareConfig):
    """Compare settings: train every configuration of a grid with several seeds, and test them against the first one.

    It goes before the command that trains and its recipe: compare text classify train recipe.toml --grid … --out ….
    Called again with the same folder it resumes: it takes finished runs, tries failed ones again, and a grid may grow.
    """

    command: tyro.conf.Positional[tuple[str, ...]]
    """The command that trains, and its recipe, as one would run it: text classify train recipe.toml."""

    out: Path
    """Folder for the runs, compare.json, compare.html and compare.png."""

    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, as in encoder.fusion=last,scalar_mix; give one --grid a setting. All combinations are
    trained. With one value it holds in all configurations, in place of the recipe's. A later one of the same setting
    replaces an earlier one."""

    skip: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Combinations to leave out, as in 'encoder.neck=none encoder.residual=concat,none': those that have one of the
    values of each setting."""

    json: bool = False
    """Print what compare.json holds on stdout, and the tables on stderr."""


def run(config: Config) -> dict[str, Any]:
    """Train and evaluate what is missing, and write the report.

    Returns:
        Contents of ``compare.json``.

    Raises:
        InputError: A grid, a recipe or a configuration that cannot be trained, before any training; or every run
            failed.
    """
    from recsys_bert.stages.comparison.grid import parse_grid

    name, recipe = _command(config.command)
    comparison = compare_runs(_trainer(name, recipe), parse_grid(config.grid), config.out, config)
    comparison.save(config.out)
    print(comparison, file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(comparison.results))
    print(f"report: {config.out / 'compare.html'}", file=sys.stderr)
    return comparison.results


def _command(words: Sequence[str]) -> tuple[str, Path]:
    """Split the words into the command and the recipe at their end."""
    if len(words) < 2 or not words[-1].endswith(".toml"):
        raise InputError(
            "name the training command and its recipe, as in `compare text classify train recipe.toml`; got "
            f"{' '.join(words) or 'nothing'!r}."
        )
    return " ".join(words[:-1]), Path(words[-1])


def _trainer(name: str, recipe: Path) -> "Trainer":
    """A training command with its recipe.

    Raises:
        InputError: The command cannot be compared.
    """
    from pipelines.cli import COMMANDS
    from pipelines.support.example_metrics import EXAMPLE_METRICS
    from pipelines.support.flags import check_parts
    from recsys_bert.settings import read_config, read_recipe
    from recsys_bert.stages.comparison.runs import Trainer, seed_name

    if name not in EXAMPLE_METRICS:
        raise unknown_name("command that can be compared", name, EXAMPLE_METRICS)
    pipeline, metrics = importlib.import_module(COMMANDS[name][0]), EXAMPLE_METRICS[name]
    check_parts(pipeline.Config, recipe, read_recipe(pipeline.Config, recipe))
    return Trainer(
        title=f"{name} {recipe.name}",
        configure=lambda values, folder, seed: read_config(
            pipeline.Config, recipe, {**values, "out": str(folder), seed_name(pipeline.Config): seed}
        ),
        train=lambda run: (None, pipeline.run(run.config)),
        evaluate=lambda run, _: metrics.evaluate(run.config),
        test_fingerprint=lambda run: metrics.test_fingerprint(run.config),
    )
