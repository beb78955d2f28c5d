"""Trainings of a search: a stage of the library, or a command with its recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.settings import make_config
from recsys_bert.settings_types import check_settings, plain
from recsys_bert.stages.comparison.stage_trainer import config_class, nested
from recsys_bert.stages.tuning.space import Dimension

_FIXED = ("seed", "train.seed", "train.monitor", "validation_users")
_DATA = ("data", "impressions", "validation", "test", "split", "columns", "files")


@dataclass(frozen=True)
class TrialTrainer:
    """A stage or a command, as a search calls it."""

    title: str
    """In the report."""

    recipe: dict[str, Any]
    """Settings that all trials share, as TOML has them."""

    check: Callable[[str, Any], None]
    """Setting and value → ``InputError`` for an unknown name or a value of another type."""

    configure: Callable[[dict[str, Any], Path], Any]
    """Values of a trial and run folder → settings of the training."""

    train: Callable[[Any, Path], None]
    """Train with settings in a run folder, or resume."""

    write_recipe: Callable[[dict[str, Any], Path, Path, str], None]
    """Write the recipe with the values of a trial: values, file, run folder it names, first line."""


def check_space(trainer: TrialTrainer, space: list[Dimension]) -> None:
    """Check the names and types of all dimensions.

    Raises:
        InputError: One is no setting, takes no such values, or decides what is validated.
    """
    for one in space:
        is_shared = one.name in _FIXED or one.name.partition(".")[0] in _DATA
        if one.name == "out":
            raise InputError("out cannot be searched; the search names the folder of every trial.")
        if is_shared and len(one.ends) > 1:
            raise InputError(
                f"{one.name} cannot be searched: trials with other data, seeds or metrics do not compare. Set it in "
                "the recipe."
            )
        for value in one.ends:
            trainer.check(one.name, value)


def stage_trials(train: Callable[..., Any], data: tuple[Any, ...]) -> TrialTrainer:
    """Adapt a stage function; see ``tune``.

    Raises:
        InputError: It has no parameter ``config`` with a config dataclass, or one without ``train``.
    """
    kind = config_class(train)
    check_trains(kind, getattr(train, "__name__", "the function"))

    def run(config: Any, folder: Path) -> None:
        train(*data, out=folder, config=config)

    def write(values: dict[str, Any], path: Path, out: Path, first: str) -> None:
        write_toml(nested(values), path, first)

    return TrialTrainer(
        title=getattr(train, "__name__", None) or type(train).__name__,
        recipe={},
        check=lambda name, value: _check(kind, {name: value}),
        configure=lambda values, _: make_config(kind, None, nested(values)),
        train=run,
        write_recipe=write,
    )


def _check(kind: type, values: Mapping[str, Any]) -> None:
    check_settings(kind, nested(values))


def check_trains(kind: type, name: str) -> None:
    """Refuse what has no settings ``train`` of a training loop.

    Raises:
        InputError: It has none.
    """
    if "train" not in {field.name for field in fields(kind)}:
        raise InputError(f"{name} has no settings train.*, so it validates no epochs to search by.")


def write_toml(settings: Mapping[str, Any], path: Path, first: str) -> None:
    """Write settings as a recipe below a comment."""
    import tomli_w

    with replacing(path) as temporary:
        temporary.write_text(f"# {first}\n{tomli_w.dumps(plain(dict(settings), None))}", encoding="utf-8")


def recipe_values(config: Any, space: list[Dimension]) -> dict[str, Any] | None:
    """Suggestions that give the settings of the recipe itself; None where one lies outside the space."""
    suggestions = {one.name: one.suggestion(_lookup(config, one.name)) for one in space}
    return None if None in suggestions.values() else suggestions


def _lookup(config: Any, name: str) -> Any:
    for key in name.split("."):
        config = config.get(key) if isinstance(config, dict) else getattr(config, key, None)
    return plain(config, None)
