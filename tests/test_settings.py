"""Settings of a call, a recipe and a preset, and which of them were named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from recsys_bert.errors import InputError
from recsys_bert.settings import make_config, named_settings, read_config, with_preset, write_config
from recsys_bert.settings_types import field_docs
from recsys_bert.stages.fuse_config import FuseConfig
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.train_ctr_config import TrainCTRConfig
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig
from recsys_bert.training.run_folder import run_kind


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Inner settings."""

    dim: int = 64
    """Width."""

    options: dict[str, int] = field(default_factory=dict)
    """Options of a part."""


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Settings of a stage."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"inner.dim": 8, "epochs": 1}}

    inner: Inner = field(default_factory=Inner)
    """The inner ones,
    on two lines."""

    epochs: int = 10
    """Passes over the data."""

    init: Path | None = None
    """Brings an inner part."""

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse inner settings beside ``init``."""
        if self.init and (ignored := sorted(name for name in names if name.startswith("inner."))):
            raise InputError(f"{ignored[0]} comes from init; leave it out.")


@dataclass(frozen=True, kw_only=True)
class Command(Outer):
    """A command."""

    out: Path = Path("runs")
    """Run folder."""


def test_keywords_make_a_config():
    assert make_config(Outer, None, {}) == Outer()
    expected = Outer(inner=Inner(dim=4), epochs=2)
    assert make_config(Outer, None, {"inner": {"dim": 4}, "epochs": 2}) == expected
    assert make_config(Outer, None, {"inner": Inner(dim=4), "epochs": 2}) == expected
    assert make_config(Outer, expected, {}) is expected


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (Outer(), {"epochs": 3}, "settings came twice: as config and as epochs"),
        (Inner(), {}, "config is a Inner; a Outer is needed"),
        (None, {"epoch": 3}, "did you mean 'epochs'"),
        (None, {"inner": {"dim": "wide"}}, "inner.dim = 'wide'"),
        (None, {"size": "huge"}, "no size is called 'huge'"),
        (None, {"init": Path("run"), "inner": {"dim": 64}}, "inner.dim comes from init"),  # 64 is the default
    ],
)
def test_what_does_not_fit_is_refused(config, settings, message):
    with pytest.raises(InputError, match=message):
        make_config(Outer, config, settings)


def test_a_nested_config_refuses_its_own_settings():
    @dataclass(frozen=True, kw_only=True)
    class Strict:
        width: int = 1
        """Refused wherever it is named."""

        def check_named(self, names: frozenset[str]) -> None:
            """Refuse width."""
            if "width" in names:
                raise InputError("width has no effect.")

    @dataclass(frozen=True, kw_only=True)
    class Nesting:
        strict: Strict = field(default_factory=Strict)
        """Nested."""

        width: int = 2
        """Another one of that name."""

    assert make_config(Nesting, None, {"width": 3}).width == 3
    with pytest.raises(InputError, match="width has no effect"):
        make_config(Nesting, None, {"strict": {"width": 1}})


def test_a_preset_lies_below_what_is_named():
    assert make_config(Outer, None, {"size": "tiny"}) == Outer(inner=Inner(dim=8), epochs=1)
    assert make_config(Outer, None, {"size": "tiny", "epochs": 5}) == Outer(inner=Inner(dim=8), epochs=5)
    assert make_config(Outer, None, {"size": "tiny", "inner": {"dim": 2}}).inner.dim == 2
    make_config(Outer, None, {"size": "tiny", "init": Path("run")})  # nobody named its width
    assert with_preset(Outer, {"epochs": 3}, "tiny") == {"inner": {"dim": 8}, "epochs": 3}


def test_a_recipe_names_a_size_and_its_settings_count_as_named(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('size = "tiny"\nepochs = 4\n')
    assert read_config(Outer, recipe) == Outer(inner=Inner(dim=8), epochs=4)
    recipe.write_text('init = "run"\n[inner]\ndim = 64\n')
    with pytest.raises(InputError, match=r"inner\.dim comes from init"):
        read_config(Outer, recipe)


def test_named_settings_are_dotted_and_options_are_one():
    settings = {"epochs": 1, "inner": {"dim": 2, "options": {"a": 1}}}
    assert named_settings(settings) == {"epochs", "inner.dim", "inner.options"}


def test_field_docs_are_read_from_bases_too():
    docs = field_docs(Command)
    assert docs["inner"] == "The inner ones, on two lines."
    assert docs["out"] == "Run folder."


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (PretrainConfig, "pretrain"),
        (TrainRetrievalConfig, "train-retrieval"),
        (FuseConfig, "fuse"),
        (TrainCTRConfig, "train-ctr"),
    ],
)
def test_resolved_settings_name_the_command_of_their_stage(tmp_path, kind, command):
    write_config(kind(), tmp_path / "config.toml")
    assert run_kind(tmp_path) == command
