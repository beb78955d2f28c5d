import importlib
import os
import re
from pathlib import Path

import pytest

from pipelines import compare
from pipelines.cli import COMMANDS
from pipelines.support.flags import load_config
from recsys_bert.errors import InputError
from recsys_bert.stages.comparison.grid import configurations, parse_grid
from recsys_bert.stages.comparison.runs import make_runs

RECIPES = sorted((Path(__file__).parents[2] / "pipelines" / "recipes").glob("*.toml"))


def complaint(command, recipe):
    kind = importlib.import_module(COMMANDS[command][0]).Config
    try:
        load_config(kind, [str(recipe), "--out", os.devnull])
    except (InputError, SystemExit) as error:
        return f"{command}: {error}"
    return None


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_one_that_a_command_takes(recipe, capsys):
    complaints = {command: complaint(command, recipe) for command in COMMANDS}
    assert None in complaints.values(), "\n".join(complaints.values())


def commands_named_in(recipe):
    """Commands that a recipe's own comment runs it with."""
    named = re.findall(rf"^#\s+recsys-bert (.+?) \S*recipes/{recipe.name}\b", recipe.read_text(), re.MULTILINE)
    return list(dict.fromkeys(named))


@pytest.mark.parametrize(
    ("command", "recipe"),
    [(command, recipe) for recipe in RECIPES for command in commands_named_in(recipe)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_the_command_in_a_recipes_comment_takes_it(command, recipe):
    assert complaint(command, recipe) is None


def test_a_stale_recipe_is_found(tmp_path, capsys):
    (tmp_path / "stale.toml").write_text("[model]\nheda = 'din'\n")
    assert all(complaint(command, tmp_path / "stale.toml") for command in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [path for path in RECIPES if path.stem.startswith("compare_")], ids=lambda p: p.stem)
def test_every_configuration_of_a_grid_fits_the_recipe_that_it_varies(recipe, monkeypatch):
    monkeypatch.chdir(RECIPES[0].parents[2])
    config = load_config(compare.Config, [str(recipe)])
    trainer = compare._trainer(*compare._command(config.command))
    combined = configurations(parse_grid(config.grid), config.skip)
    runs = make_runs(trainer, combined, config.seeds, config.out)
    assert len(runs) == len(combined) * config.seeds > 3


@pytest.mark.parametrize("recipe", [path for path in RECIPES if "techniques" in path.stem], ids=lambda p: p.stem)
def test_techniques_are_compared_one_at_a_time(recipe):
    config = load_config(compare.Config, [str(recipe)])
    plain, *others = [one.values for one in configurations(parse_grid(config.grid), config.skip)]
    changes = [[value for name, value in other.items() if value != plain[name]] for other in others]
    techniques = [plain[name] for name in ("teacher", "train.adversarial", "train.averaging")]
    assert techniques == ["None", {"method": "none"}, {"method": "none"}]
    assert sorted(map(len, changes)) == [1] * 5
    tables = [change[0] for change in changes if isinstance(change[0], dict)]
    assert {table["method"] for table in tables} == {"fgm", "pgd", "swa", "ema"}
