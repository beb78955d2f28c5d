import dataclasses
import os
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from pipelines import cli
from pipelines.cli import main
from pipelines.support.flags import load_config
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config, write_config


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature."""

    name: str
    """Its column."""

    size: int = 2
    """Its values."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model."""

    dim: int = 64
    """Width, even."""

    neck_kind: str = field(default="none", metadata={"names": {"none": "", "cnn": "m:C"}})
    """A name in a table."""

    dropout: float | None = 0.1
    """Probability in [0, 1)."""

    options: dict[str, Any] = field(default_factory=dict)
    """Options of a part."""

    features: tuple[Feature, ...] = ()
    """Side features."""

    def __post_init__(self) -> None:
        if self.dim % 2:
            raise InputError(f"dim = {self.dim} is odd.")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a stage that no program has."""

    out: Path
    """Folder to write."""

    mode: Literal["fast", "good"] = "fast"
    """How it is done."""

    ks: tuple[int, ...] = (10, 20)
    """Lengths of the list."""

    days: int | None = None
    """Days back; all where None."""

    weights: dict[str, float] = field(default_factory=dict)
    """Weight per event type."""

    model: Model = Model(dim=32)
    """The model."""


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults(recipe):
    path = recipe('mode = "good"\nks = [5]\n[model]\ndropout = 0\n')
    config = load_config(Config, [path, "--out", "runs/a", "--model.dropout", "0.5"])
    expected = Config(out=Path("runs/a"), mode="good", ks=(5,), model=Model(dim=32, dropout=0.5))
    assert config == expected


def test_a_required_setting_may_come_from_the_recipe(recipe):
    assert load_config(Config, [recipe('out = "runs/a"')]) == Config(out=Path("runs/a"))


def test_a_required_setting_that_nobody_gave_is_named(recipe, capsys):
    with pytest.raises(SystemExit) as stop:
        load_config(Config, [recipe("")])
    assert stop.value.code == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("moed = 1", r"no setting is called 'moed'; did you mean 'mode'\? Known: days, ks, mode, model, out, weights"),
        ("[model]\ndmi = 1", r"no setting is called 'model\.dmi'; did you mean 'model\.dim'\?"),
        (
            '[[model.features]]\nname = "a"\nsise = 1',
            r"'model\.features\.0\.sise'; did you mean 'model\.features\.0\.size",
        ),
        ("[[model.features]]\nsize = 1", r"model\.features\.0 lacks 'name'"),
        ('[model]\ndim = "64"', r"model\.dim = '64': Input should be a valid integer"),
        ("[model]\ndim = 64.5", r"model\.dim = 64\.5: Input should be a valid integer"),
        ("[model]\ndim = true", r"model\.dim = True: Input should be a valid integer"),
        ("model = 3", r"model = 3: Input should be an object"),
        ("mode = 'slow'", r"mode = 'slow': Input should be 'fast' or 'good'"),
        ("ks = 10", r"ks = 10: Input should be a valid array"),
        ("days = 'many'", r"days = 'many': Input should be a valid integer"),
        ("mode = ", r"is not a TOML file"),
    ],
)
def test_a_mistake_in_the_recipe_names_the_setting(recipe, text, message):
    with pytest.raises(InputError, match=message):
        load_config(Config, [recipe(text), "--out", "x"])


def test_every_mistake_is_told_at_once(recipe):
    with pytest.raises(InputError) as error:
        load_config(Config, [recipe("moed = 1\nks = 1")])
    assert len(str(error.value).splitlines()) == 2


def test_a_missing_recipe_is_a_clear_error():
    with pytest.raises(InputError, match=r"the recipe nowhere\.toml cannot be read: No such file"):
        load_config(Config, ["nowhere.toml"])


def test_flags_may_mend_what_the_recipe_alone_would_break(recipe):
    assert load_config(Config, [recipe("[model]\ndim = 3"), "--out", "x", "--model.dim", "4"]).model.dim == 4


def test_checks_of_the_config_run_after_the_flags(capsys):
    with pytest.raises(InputError, match=r"^dim = 3 is odd\.$"):
        load_config(Config, ["--out", "x", "--model.dim", "3"])
    assert capsys.readouterr().err == ""


def test_options_of_a_part_are_json_on_the_command_line():
    config = load_config(Config, ["--out", "x", "--model.options", '{"width": 3, "norm": null}'])
    assert config.model.options == {"width": 3, "norm": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "Invalid JSON"), ("3", "should be an object"), ('{"a": "x"}', "a: Input should be a valid number")],
)
def test_json_that_does_not_fit_is_refused(capsys, text, message):
    with pytest.raises(SystemExit) as stop:
        load_config(Config, ["--out", "x", "--weights", text])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_none_is_said_alike_in_flags_and_recipes(recipe):
    by_flag = load_config(Config, ["--out", "x", "--model.dropout", "None"])
    by_recipe = load_config(Config, [recipe('out = "x"\n[model]\ndropout = "None"')])
    assert by_flag == by_recipe
    assert by_flag.model.dropout is None


@pytest.mark.parametrize(
    "config",
    [
        Config(out=Path("a b/书")),
        Config(out=Path("x"), days=3, ks=(), mode="good"),
        Config(out=Path("x"), model=Model(dropout=None, features=(Feature(name="genre", size=3),))),
        Config(out=Path("x"), model=Model(options={"width": 3, "inner": {"kinds": ["a", "b"]}, "rate": 1e-9})),
    ],
)
def test_written_settings_read_back_equal(tmp_path, config):
    write_config(config, tmp_path / "run" / "config.toml")
    assert read_config(Config, tmp_path / "run" / "config.toml") == config
    assert load_config(Config, [str(tmp_path / "run" / "config.toml")]) == config


@dataclass(frozen=True, kw_only=True)
class Outer:
    """A stage with a nested config that has a required setting."""

    feature: Feature
    """The feature."""


def test_a_required_setting_may_be_nested(recipe, capsys):
    expected = Outer(feature=Feature(name="a", size=5))
    assert load_config(Outer, ["--feature.name", "a", "--feature.size", "5"]) == expected
    assert load_config(Outer, [recipe("[feature]\nsize = 5"), "--feature.name", "a"]) == expected
    assert read_config(Outer, Path(recipe('[feature]\nname = "a"\nsize = 5'))) == expected
    with pytest.raises(InputError, match="name must be set; Feature has no default"):
        read_config(Outer, Path(recipe("")))
    with pytest.raises(SystemExit):
        load_config(Outer, [])
    text = capsys.readouterr().err
    assert "--feature.name" in text
    assert "--feature.size" not in text


def test_reading_needs_every_required_setting(recipe):
    with pytest.raises(InputError, match="out must be set"):
        read_config(Config, Path(recipe("days = 3")))


def test_help_shows_docstrings_defaults_and_the_recipe(capsys):
    with pytest.raises(SystemExit) as stop:
        load_config(Config, ["--help"], prog="recsys-bert stage")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for part in (
        "Settings of a stage",
        "Days back; all where None.",
        "--model.dim",
        "default: 32",
        "stage [recipe.toml]",
        "--model.neck-kind {cnn,none,module:Class}",
    ):
        assert part in text


@pytest.fixture
def stage(monkeypatch):
    """A command ``stage`` whose ``run`` is what the test sets."""
    module = types.ModuleType("stage_for_tests")
    module.Config = dataclasses.make_dataclass("Empty", [], frozen=True)
    monkeypatch.setitem(sys.modules, "stage_for_tests", module)
    monkeypatch.setitem(cli.COMMANDS, "stage", ("stage_for_tests", "a stage"))
    return module


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (None, 0, ""),
        (InputError("clicks.csv is empty."), 2, "error: clicks.csv is empty.\n"),
        (KeyboardInterrupt(), 130, "stopped.\n"),
    ],
)
def test_the_end_of_a_command_is_one_message_and_a_status(stage, capsys, error, status, text):
    def run(config):
        if error:
            raise error

    stage.run = run
    assert main(["stage"]) == status
    assert capsys.readouterr().err == text


def test_a_bug_keeps_its_traceback(stage):
    def run(config):
        raise ZeroDivisionError

    stage.run = run
    with pytest.raises(ZeroDivisionError):
        main(["stage"])


def test_a_misspelt_command_is_corrected(capsys):
    assert main(["pretrian"]) == 2
    assert "no command is called 'pretrian'; did you mean 'pretrain'?" in capsys.readouterr().err


def test_the_overview_lists_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in cli.COMMANDS)


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed_pipe:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "--help"],
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("beside", ["caller", "recipe"])
def test_a_part_beside_the_caller_or_the_recipe_is_found(stage, tmp_path, monkeypatch, beside):
    folder = tmp_path / beside
    folder.mkdir()
    (folder / f"my_neck_beside_{beside}.py").write_text("class MyNeck:\n    pass\n")
    (folder / "recipe.toml").write_text("")
    monkeypatch.chdir(folder if beside == "caller" else tmp_path)
    name = f"my_neck_beside_{beside}:MyNeck"
    stage.run = lambda config: find("neck", name, {})
    argv = ["stage"] if beside == "caller" else ["stage", str(folder / "recipe.toml")]
    assert main(argv) == 0
    assert str(folder) not in sys.path


def test_nothing_else_is_imported_from_the_working_folder(stage, tmp_path, monkeypatch, capsys):
    (tmp_path / "stands_in_for_a_package.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    stage.run = lambda config: __import__("stands_in_for_a_package")
    with pytest.raises(ModuleNotFoundError):
        main(["stage"])
