"""Search for the settings of a recipe with the best validation."""

import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.stages.tune import check_optuna, tune_trials
from recsys_bert.stages.tune_config import TuneConfig

if TYPE_CHECKING:
    from recsys_bert.stages.tuning.trainer import TrialTrainer


@dataclass(frozen=True, kw_only=True)
class Config(TuneConfig):
    """Search for settings: try those of a space, end bad trials early by validation, and write the best recipe.

    It goes before the command that trains and its recipe: tune train-retrieval recipe.toml --space … --out …. Test data
    are never read. Called again with the same folder it goes on; started several times at once on one folder, the
    processes share the trials.
    """

    command: tyro.conf.Positional[tuple[str, ...]]
    """The command that trains, and its recipe, as one would run it: train-retrieval recipe.toml."""

    out: Path
    """Folder for the trials, best.toml, tune.json and tune.html."""

    space: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values; give one --space a setting: train.lr=log:1e-4:1e-2, encoder.n_layers=int:1:4,
    encoder.dropout=float:0:0.5 (with a step float:0:0.5:0.1), encoder.dim=logint:16:256,
    encoder.fusion=choice:last,scalar_mix."""

    json: bool = False
    """Print what tune.json holds on stdout, and the tables on stderr."""


def run(config: Config) -> dict[str, Any]:
    """Train trials until the budget is used up, and write the report.

    Returns:
        Contents of ``tune.json``.

    Raises:
        InputError: A space, a recipe or a training that cannot be searched, before any training; or every trial failed.
    """
    check_optuna()
    from recsys_bert.stages.tuning.space import parse_space

    space = parse_space(config.space)
    tuning = tune_trials(command_trials(config.command), space, config.out, config)
    print(tuning, file=sys.stderr if config.json else sys.stdout)
    if config.json:
        print(json.dumps(tuning.results))
    print(f"best recipe: {config.out / 'best.toml'}; report: {config.out / 'tune.html'}", file=sys.stderr)
    return tuning.results


def command_trials(words: Sequence[str]) -> "TrialTrainer":
    """A training command with its recipe.

    Raises:
        InputError: There is no such command or recipe, or it trains nothing.
    """
    from pipelines.cli import COMMANDS
    from pipelines.support.flags import check_parts
    from recsys_bert.settings import read_config, read_recipe
    from recsys_bert.settings_types import plain
    from recsys_bert.stages.tuning.trainer import TrialTrainer

    if len(words) < 2 or not words[-1].endswith(".toml"):
        raise InputError(
            "name the training command and its recipe, as in `tune train-retrieval recipe.toml`; got "
            f"{' '.join(words) or 'nothing'!r}."
        )
    name, recipe = " ".join(words[:-1]), Path(words[-1])
    trained = {command: module for command, (module, _) in COMMANDS.items() if _trains(module)}
    if name not in trained:
        raise unknown_name("command that can be searched", name, trained)
    pipeline = importlib.import_module(trained[name])
    settings = read_recipe(pipeline.Config, recipe)
    check_parts(pipeline.Config, recipe, settings)
    test = _test_files(settings)
    shared = plain(settings, None)

    return TrialTrainer(
        title=f"{name} {recipe.name}",
        recipe={"command": name, **{key: value for key, value in shared.items() if key != "out"}},
        check=lambda setting, value: _check(pipeline.Config, recipe, setting, value),
        configure=lambda values, folder: read_config(pipeline.Config, recipe, {**values, **test, "out": str(folder)}),
        train=lambda settled, _: pipeline.run(settled),
        write_recipe=lambda values, path, out, first: write_recipe(
            name, pipeline.Config, recipe, {**values, "out": str(out)}, path, first
        ),
    )


def _trains(module: str) -> bool:
    """True for a command with an output folder and the settings of the training loop."""
    from recsys_bert.settings_types import hints
    from recsys_bert.training.config import TrainConfig

    names = hints(importlib.import_module(module).Config)
    train = names.get("train")
    return "out" in names and isinstance(train, type) and issubclass(train, TrainConfig)


def _check(kind: type, recipe: Path, setting: str, value: Any) -> None:
    from recsys_bert.settings import read_recipe

    read_recipe(kind, recipe, {setting: value})


def _test_files(settings: dict[str, Any]) -> dict[str, str]:
    """Changes that leave out the test files which a recipe names."""
    names = ["test"] if settings.get("test") is not None else []
    names += ["data.test"] if isinstance(settings.get("data"), dict) and settings["data"].get("test") else []
    return dict.fromkeys(names, "None")


def write_recipe(command: str, kind: type, recipe: Path, changes: dict[str, Any], path: Path, first: str) -> None:
    """Write a recipe with changes, that runs as it is: resolved if the recipe is, else with what it names."""
    from recsys_bert.settings import is_resolved, read_config, read_recipe, write_config
    from recsys_bert.stages.tuning.trainer import write_toml

    if is_resolved(recipe):
        write_config(read_config(kind, recipe, changes), path)
    else:
        write_toml(read_recipe(kind, recipe, changes), path, f"{first}\n#   recsys-bert {command} {path}")
