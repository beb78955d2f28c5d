"""Recipes and saved settings with values or bytes changed: read, or refused in one message."""

import dataclasses
import hashlib
import importlib
import shutil
import tempfile
import tomllib
from pathlib import Path

import pytest
import tomli_w
from faults.commands import COMMANDS, READERS
from faults.fuzzing import BUDGET, EXAMPLES, damage
from faults.test_fuzz_artefacts import VALUES, replaced, value_paths
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipelines.cli import COMMANDS as MODULES
from pipelines.cli import main
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

NEW = VALUES.filter(lambda value: value is not None) | st.sampled_from(("None", "nan:inf", "../x", [{"a": 1}], [[1]]))


def config_class(command):
    """Config dataclass of a command line."""
    name = max((name for name in MODULES if command[: len(name.split())] == name.split()), key=len)
    return importlib.import_module(MODULES[name][0]).Config


def changed(data, settings):
    """Settings with one value replaced, removed, or added under a name of their own or another."""
    path = data.draw(st.sampled_from(list(value_paths(settings))))
    kind = data.draw(st.sampled_from(("replace", "replace", "remove", "add")))
    if kind == "replace":
        return replaced(settings, path, data.draw(NEW))
    parent = settings
    for key in path[:-1]:
        parent = parent[key]
    if kind == "remove":
        rest = {k: v for k, v in parent.items() if k != path[-1]} if isinstance(parent, dict) else parent[1:]
        return replaced(settings, path[:-1], rest)
    name = data.draw(st.sampled_from(("epochs", "size", "nonsense", "", "a.b", "encoder")))
    return replaced(settings, path[:-1], parent | {name: data.draw(NEW)} if isinstance(parent, dict) else [*parent, 1])


def seal(first, text):
    """Resolved settings with the checksum that belongs to them."""
    first = first.rpartition(", sha256 ")[0]
    digest = hashlib.sha256("\n".join([first, text]).encode()).hexdigest()
    return f"{first}, sha256 {digest}\n{text}"


@pytest.mark.parametrize("is_resolved", [False, True])
def test_random_recipes(artefacts, is_resolved):
    """No value of a recipe is taken for another, and no foreign exception comes out."""
    runs = [name for name in COMMANDS if (artefacts / name / "config.toml").is_file()]
    for name in runs:
        read_config(config_class(COMMANDS[name]), artefacts / name / "config.toml", resolved=True)

    @settings(BUDGET, max_examples=4 * EXAMPLES)
    @given(data=st.data())
    def fuzz(data):
        name = data.draw(st.sampled_from(runs))
        first, _, text = (artefacts / name / "config.toml").read_text().partition("\n")
        text = tomli_w.dumps(changed(data, tomllib.loads(text)))
        content = data.draw(damage((seal(first, text) if is_resolved else text).encode()))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "recipe.toml")
            path.write_bytes(content)
            kind = config_class(COMMANDS[name])
            try:
                config = read_config(kind, path, resolved=is_resolved)
            except InputError:
                event("refused")
                return
        event("read")
        assert dataclasses.is_dataclass(config)

    fuzz()


def test_saved_settings_of_strangers(workplace, capsys):
    """Commands that read the settings of a run."""
    folder = workplace()
    fast = {name: [line for line in lines if "--out" not in line] for name, lines in READERS.items()}
    runs = [name for name, lines in fast.items() if lines and (folder / name / "config.toml").is_file()]
    whole = {name: (folder / name / "config.toml").read_text() for name in runs}

    @settings(BUDGET, max_examples=EXAMPLES if EXAMPLES > 25 else 8)
    @given(data=st.data())
    def fuzz(data):
        name = data.draw(st.sampled_from(runs))
        first, _, text = whole[name].partition("\n")
        path = folder / name / "config.toml"
        path.write_text(seal(first, tomli_w.dumps(changed(data, tomllib.loads(text)))))
        command = data.draw(st.sampled_from(fast[name]))
        capsys.readouterr()
        try:
            status, error = main(command), capsys.readouterr().err
            assert status == 0 or (status, error.count("error: ")) == (2, 1), (command, error)
        finally:
            path.write_text(whole[name])
            shutil.rmtree(folder / "out", ignore_errors=True)

    fuzz()
