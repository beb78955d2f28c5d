"""Tests of a module with a ``CONTRACT``, its ``CHANGES`` and a fixture ``runs``, which imports them by name."""

from typing import Any

import pytest
from contracts.settings_contract import Change, Runs, SettingsContract, check_change, check_exempt


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the changes, or the bases, of its module."""
    module: Any = metafunc.module
    if metafunc.definition.originalname == "test_a_changed_setting_changes_the_run_or_is_refused":
        metafunc.parametrize("change", [*module.CHANGES, *getattr(module, "OPTIONS", ())], ids=str)
    if metafunc.definition.originalname == "test_the_same_settings_give_the_same_run":
        metafunc.parametrize("base", module.CONTRACT.bases)


@pytest.fixture(scope="module")
def contract(request: pytest.FixtureRequest) -> SettingsContract:
    return request.module.CONTRACT


def test_a_changed_setting_changes_the_run_or_is_refused(runs: Runs, change: Change) -> None:
    check_change(runs, change)


def test_the_same_settings_give_the_same_run(runs: Runs, base: str) -> None:
    settings = runs.contract.bases[base]
    assert Runs(runs.contract, runs.train).of(settings) == runs.of(settings)


@pytest.mark.parametrize("name", ["encoder.dim", "encoder.n_layers", "encoder.ngrams"])
def test_a_default_that_init_overrides_is_refused(runs: Runs, name: str) -> None:
    default = runs.contract.defaults("init")[name]
    assert "start" in str(runs.of(runs.contract.bases["init"], {name: default}))


def test_exempt_settings_exist(contract: SettingsContract) -> None:
    check_exempt(contract)
