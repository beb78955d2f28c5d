"""Modules and folders beside the data do not stand in for packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.commands import COMMANDS

from pipelines.cli import main

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).with_name("recsys-bert")
MODULES = ["pandas", "torch", "numpy", "polars", "json", "signal", "tyro", "transformers", "sklearn", "matplotlib"]
FOLDERS = ["dill", "triton", "accelerate", "torchvision", "cupy", "pyarrow", "recsys_bert", "nlp_tasks"]
MODULE = [sys.executable, "-m", "pipelines.cli"]


def run(folder, command, *flags, path=str(ROOT)):
    """Run a command in a folder that is not on the path, but for an empty entry."""
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run([*command, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "artefact"), [(MODULE, "towers"), ([str(SCRIPT)], "report")])
def test_what_lies_beside_the_data_is_not_imported(workplace, program, artefact):
    if not Path(program[0]).exists():
        pytest.skip("the package is not installed")
    folder = workplace(artefact)
    for name in MODULES:
        (folder / f"{name}.py").write_text("from pathlib import Path\nPath('ran').touch()\nraise SystemExit(9)\n")
    for name in FOLDERS:
        (folder / name).mkdir()
    done = run(folder, program, *COMMANDS[artefact], path=os.pathsep.join([str(ROOT), ""]))  # empty: the working folder
    assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists()


def test_a_part_of_the_users_own_is_looked_up_in_the_working_folder(workplace, capsys):
    folder = workplace("towers")
    layer = "from recsys_bert.encoder.layers.pre_norm import PreNormLayer\nclass Mine(PreNormLayer): pass\n"
    (folder / "mine_of_the_user.py").write_text(layer)
    assert main([*COMMANDS["towers"], "--encoder.layer", "mine_of_the_user:Mine"]) == 0
    assert str(folder) not in sys.path
    again = ["recommend", "--data", "prepared", "--run", "towers", "--users", "1"]
    assert main(again) == 0  # named by the user in this process


@pytest.mark.slow
def test_a_part_of_the_users_own_is_allowed_in_a_new_process(workplace):
    folder = workplace("towers")
    layer = "from recsys_bert.encoder.layers.pre_norm import PreNormLayer\nclass Mine(PreNormLayer): pass\n"
    (folder / "mine_of_the_user.py").write_text(layer)
    assert main([*COMMANDS["towers"], "--encoder.layer", "mine_of_the_user:Mine"]) == 0
    again = ["recommend", "--data", "prepared", "--run", "towers", "--users", "1"]
    refused, allowed = run(folder, MODULE, *again), run(folder, MODULE, *again, "--allow-parts")
    assert (refused.returncode, "--allow-parts" in refused.stderr) == (2, True)
    assert allowed.returncode == 0, allowed.stderr
