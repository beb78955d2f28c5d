"""Every example runs."""

import importlib
import pkgutil

import pytest

from pipelines import examples

NAMES = [module.name for module in pkgutil.iter_modules(examples.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_example(name, capsys):
    result = importlib.import_module(f"pipelines.examples.{name}").main()
    assert result is not None
    assert capsys.readouterr().out


def test_there_is_one_for_every_task():
    assert len(NAMES) >= 8
