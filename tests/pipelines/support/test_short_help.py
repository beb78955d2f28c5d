"""Help that fits a screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from pipelines.support.flags import load_config
from pipelines.support.short_help import all_settings, short_help, shown_settings
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model."""

    kind: Literal["a", "b"] = "a"
    """Which one."""

    layer: str = field(default="bert", metadata={"names": {"bert": 1, "gated": 2}})
    """Its layer."""

    bias: bool = True
    """Whether it has one."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a model.

    At length.
    """

    MAIN: ClassVar[tuple[str, ...]] = ("out", "epochs", "model.layer", "model.bias")
    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"epochs": 1, "model.kind": "b"}}

    out: Path
    """Run folder."""

    epochs: int = 3
    """Passes over the data."""

    ks: tuple[int, ...] = (5, 10)
    """Depths."""

    model: Model = field(default_factory=Model)
    """The model."""

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse a kind by hand."""
        if "model.kind" in names:
            raise InputError("model.kind is named.")


def test_every_setting_is_listed_with_its_dotted_name():
    assert [setting.name for setting in all_settings(Config)] == [
        "out",
        "epochs",
        "ks",
        "model.kind",
        "model.layer",
        "model.bias",
    ]


def test_the_short_help_shows_what_matters():
    text = short_help(Config, "recsys-bert example")
    assert [setting.name for setting in shown_settings(Config)] == ["out", "epochs", "model.layer", "model.bias"]
    assert "--ks" not in text
    assert "required:\n  --out PATH\n        Run folder." in text
    assert "--epochs INT\n        Passes over the data. (default: 3)" in text
    assert "--model.layer {bert,gated,module:Class}" in text
    assert "--model.bias, --model.no-bias" in text
    assert "tiny   epochs 1, model.kind b" in text
    assert "4 of 6 settings; --help-all lists every one." in text
    assert "At length" not in text


def test_help_and_help_all_end_the_command(capsys):
    for flag, expected in (("--help", "4 of 6 settings"), ("-h", "4 of 6 settings"), ("--help-all", "--ks")):
        with pytest.raises(SystemExit) as leave:
            load_config(Config, [flag])
        assert leave.value.code == 0
        assert expected in capsys.readouterr().out


def test_size_lies_below_recipe_and_flags(tmp_path, capsys):
    assert load_config(Config, ["--out", "run", "--size", "tiny"]).epochs == 1
    assert "size tiny: epochs 1, model.kind b" in capsys.readouterr().err
    assert load_config(Config, ["--out", "run", "--size=tiny", "--epochs", "7"]).epochs == 7
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('size = "tiny"\nout = "run"\n')
    config = load_config(Config, [str(recipe)])
    assert (config.epochs, config.model.kind) == (1, "b")
    with pytest.raises(InputError, match="no size is called 'huge'"):
        load_config(Config, ["--out", "run", "--size", "huge"])
    with pytest.raises(InputError, match="--size needs a value"):
        load_config(Config, ["--out", "run", "--size"])


def test_a_flag_counts_as_named_whatever_its_value(tmp_path):
    with pytest.raises(InputError, match=r"model\.kind is named"):
        load_config(Config, ["--out", "run", "--model.kind", "a"])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('out = "run"\n[model]\nkind = "a"\n')
    with pytest.raises(InputError, match=r"model\.kind is named"):
        load_config(Config, [str(recipe)])
