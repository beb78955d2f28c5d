import importlib
import os
from pathlib import Path

import pytest

from pipelines.cli import COMMANDS, load_config
from recsys_bert.errors import InputError

RECIPES = sorted((Path(__file__).parents[2] / "pipelines" / "recipes").glob("*.toml"))


def complaint(command, recipe):
    kind = importlib.import_module(COMMANDS[command][0]).Config
    try:
        load_config(kind, [str(recipe), "--out", os.devnull])
    except (InputError, SystemExit) as error:
        return f"{command}: {error}"
    return None


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_one_that_a_command_takes(recipe, capsys):
    complaints = {command: complaint(command, recipe) for command in COMMANDS}
    assert None in complaints.values(), "\n".join(complaints.values())


def test_a_stale_recipe_is_found(tmp_path, capsys):
    (tmp_path / "stale.toml").write_text("[model]\nheda = 'din'\n")
    assert all(complaint(command, tmp_path / "stale.toml") for command in COMMANDS)
