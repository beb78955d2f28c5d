"""The contract of settings itself: it notices a setting that is accepted and ignored."""

from dataclasses import dataclass, field

import pytest
from contracts.settings_contract import Change, Outcome, Runs, SettingsContract, check_change, check_named_defaults

from recsys_bert.errors import InputError
from recsys_bert.settings import make_config


@dataclass(frozen=True, kw_only=True)
class Inner:
    ignored: bool = False
    """Nothing reads it."""

    overridden: int = 3
    """Replaced by 7 where ``init`` is set."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    scale: float = 1.0
    """Scales the result."""

    refused: int = 0
    """Refused."""

    misnamed: int = 0
    """Refused in other words."""

    init: bool = False
    """Overrides ``inner.overridden``."""

    inner: Inner = field(default_factory=Inner)
    """Nested."""

    def __post_init__(self):
        if self.refused:
            raise InputError(f"refused is {self.refused}; leave it out.")
        if self.misnamed:
            raise InputError("that does not fit.")


CONTRACT = SettingsContract(Settings, bases={"plain": {}, "init": {"init": True}})


def train(settings):
    config = make_config(Settings, None, settings)
    overridden = 7 if config.init else config.inner.overridden
    resolved = {"scale": config.scale, "inner.overridden": overridden}
    return Outcome("", (config.scale, overridden), resolved)


@pytest.fixture
def runs():
    return Runs(CONTRACT, train)


def test_every_setting_is_changed_in_every_base():
    names = ["scale", "refused", "misnamed", "init", "inner.ignored", "inner.overridden"]
    assert [(change.base, change.name) for change in CONTRACT.changes()] == [
        (base, name) for base in CONTRACT.bases for name in names
    ]


@pytest.mark.parametrize(("name", "value"), [("scale", 2.0), ("refused", 1), ("init", True), ("inner.overridden", 4)])
def test_a_setting_with_an_effect_or_a_refusal_passes(runs, name, value):
    check_change(runs, Change("plain", name, value))


@pytest.mark.parametrize(
    ("base", "name", "value", "message"),
    [
        ("plain", "inner.ignored", True, "has no effect"),
        ("init", "inner.overridden", 4, "has no effect"),
        ("plain", "misnamed", 1, "refused without its name"),
    ],
)
def test_a_setting_that_is_ignored_or_refused_without_its_name_fails(runs, base, name, value, message):
    with pytest.raises(AssertionError, match=message):
        check_change(runs, Change(base, name, value))


def test_a_default_that_is_overridden_fails(runs):
    check_named_defaults(runs, "plain", train)
    with pytest.raises(AssertionError, match=r"inner\.overridden = 3 is 7"):
        check_named_defaults(runs, "init", train)
