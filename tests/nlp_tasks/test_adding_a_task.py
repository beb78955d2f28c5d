"""The page on adding a text task: its code, as it stands, is a task that trains, from Python and as a command."""

import importlib.util
import re
import sys
from pathlib import Path

import polars as pl
import pytest

import nlp_tasks
import pipelines.text
from pipelines import cli
from recsys_bert import evaluation

PAGE = Path(nlp_tasks.__file__).parent / "ADDING_A_TASK.md"
ADDED = ("nlp_tasks.regression", "recsys_bert.evaluation.regression", "pipelines.text.regress")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write the page's files beside the packages' own, and let the packages look there too."""
    for path, code in re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.parent / "__init__.py").touch()
        target.write_text(code, encoding="utf-8")
    for package in (nlp_tasks, evaluation, pipelines.text):
        inside = tmp_path.joinpath(*package.__name__.split("."))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(inside)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(ADDED)]:
        del sys.modules[name]


def page_tests(folder):
    spec = importlib.util.spec_from_file_location("page_tests", folder / "tests/nlp_tasks/regression/test_regressor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_task_of_the_page_trains_and_passes_its_own_tests(folder):
    tests = page_tests(folder)
    tests.test_it_learns_the_numbers_and_survives_a_file(folder)
    tests.test_scores_must_be_numbers_that_differ()
    tests.test_metrics_of_a_small_example()


def test_its_command_trains_from_a_file(folder, monkeypatch, capsys):
    ((name, module, about),) = re.findall(r'^    "(.*)": \("(.*)", "(.*)"\),$', PAGE.read_text("utf-8"), re.M)
    monkeypatch.setitem(cli.COMMANDS, name, (module, about))
    tests = page_tests(folder)
    pairs = pl.DataFrame({"first": tests.FIRST, "second": tests.SECOND, "score": tests.SCORES})
    pairs.write_csv(folder / "pairs.tsv", separator="\t")
    sizes = ["--encoder.dim", "16", "--encoder.n-layers", "1", "--train.epochs", "1"]
    files = ["--out", str(folder / "run"), "--data.train", str(folder / "pairs.tsv")]
    assert cli.main([*name.split(), *files, *sizes]) == 0
    assert "spearman" in capsys.readouterr().err
    assert (folder / "run" / "regressor" / "task.json").is_file()
    assert cli.main([*name.split(), *files, "--teacher", str(folder)]) == 2
    assert "regression has no distillation" in capsys.readouterr().err
