"""tune: its trials, its budget, several processes, a killed one, and what it refuses."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from stages.searched_stage import SPACE, SearchedConfig, stage, value_of

from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.stages.tune import tune
from recsys_bert.stages.tune_config import TuneConfig

SCRIPT = Path(__file__).with_name("searched_stage.py")
QUICK = {"trials": 6, "startup_trials": 3, "pruner": "none"}


@pytest.fixture(autouse=True)
def without_pictures(request, monkeypatch):
    if "page" not in request.node.name:
        monkeypatch.setattr("recsys_bert.evaluation.report.tuning.available", lambda: False)


def start(how, out, trials, stderr=subprocess.DEVNULL):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, str(SCRIPT), how, str(out), str(trials)], env=env, stderr=stderr)


def numbers(tuning):
    return [trial["number"] for trial in tuning.results["trials"]]


def test_the_best_trial_is_on_the_page_in_a_recipe_and_kept(tmp_path):
    tuning = tune(stage, space=SPACE, out=tmp_path / "out", **{**QUICK, "trials": 20})
    table = tuning.table
    complete = table.filter(table["state"] == "complete")
    expected = [value_of(SearchedConfig(x=x, kind=kind), 3) for x, kind in complete["x", "kind"].iter_rows()]
    assert complete["value"].to_list() == pytest.approx(expected)
    assert tuning.best_value == max(expected) > value_of(SearchedConfig(), 3)
    assert tuning.best_settings["kind"] == "a"
    assert tuning.best_settings["x"] == pytest.approx(0.3, abs=0.06)
    assert tomllib.loads((tmp_path / "out" / "best.toml").read_text()) == tuning.best_settings
    assert read_json(tmp_path / "out" / "tune.json") == tuning.results
    weights = list((tmp_path / "out" / "trials").glob("*/model"))
    assert weights == [tuning.best_run / "model"]
    assert not list((tmp_path / "out" / "trials").glob("*/checkpoints"))
    assert "Best validation ndcg@10" in str(tuning)
    page = (tmp_path / "out" / "tune.html").read_text()
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<table>" in tuning._repr_html_()
    assert set(tuning.results["importance"]) == {"x", "kind"}


def test_a_search_goes_on_where_it_stopped_with_the_same_suggestions(tmp_path, capsys):
    whole = tune(stage, space=SPACE, out=tmp_path / "whole", **QUICK)
    tune(stage, space=SPACE, out=tmp_path / "parts", **{**QUICK, "trials": 4})
    assert "trial 3 of 4" in capsys.readouterr().err
    parts = tune(stage, space=SPACE, out=tmp_path / "parts", **QUICK)
    assert "trial 3 of" not in capsys.readouterr().err
    assert parts.table["x"].to_list() == whole.table["x"].to_list()
    assert parts.table["value"].to_list() == whole.table["value"].to_list()


def test_a_killed_process_leaves_a_trial_that_is_tried_again(tmp_path):
    process = start("killed", tmp_path / "out", 4)
    assert process.wait() == -9
    with open(tmp_path / "out" / "journal.log", "a") as file:
        file.write('{"op_code": 5, "wor')  # the system may have killed it in the middle of a line
    lines_before = (tmp_path / "out" / "trials" / "0001" / "metrics.jsonl").read_text()
    epochs = []
    tuning = tune(
        stage, lambda out, epoch: epochs.append((out.name, epoch)), space=SPACE, out=tmp_path / "out", **QUICK
    )
    assert numbers(tuning) == list(range(6))
    assert [trial["deaths"] for trial in tuning.results["trials"]] == [0, 1, 0, 0, 0, 0]
    assert set(tuning.table["state"]) == {"complete"}
    assert len(lines_before.splitlines()) == 1
    assert epochs[:2] == [("0001", 2), ("0001", 3)]  # its first epoch is not trained again
    assert [epoch for epoch, _ in tuning.results["trials"][1]["curve"]] == [1, 2, 3]
    undisturbed = tune(stage, space=SPACE, **QUICK)
    assert tuning.table["value"].to_list() == undisturbed.table["value"].to_list()


def test_a_trial_that_kills_more_processes_than_retries_allow_has_failed(tmp_path):
    assert start("killed", tmp_path / "out", 3).wait() == -9
    tuning = tune(stage, space=SPACE, out=tmp_path / "out", retries=0, **{**QUICK, "trials": 3})
    assert tuning.table["state"].to_list() == ["complete", "failed", "complete"]
    assert tuning.table["why"][1] == "its process ended once before there was a result"


def test_processes_share_the_trials_of_one_folder(tmp_path):
    processes = [start("beside_another", tmp_path / "out", 12, subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    results = read_json(tmp_path / "out" / "tune.json")
    assert [trial["number"] for trial in results["trials"]] == list(range(12))
    trained = [{line.split()[1] for line in text.splitlines() if " of 12: " in line} for text in errors]
    assert trained[0].isdisjoint(trained[1])
    assert len(trained[0] | trained[1]) == 12
    assert all(trained)


def test_median_and_hyperband_end_bad_trials_and_none_does_not():
    states = {
        pruner: tune(stage, space=SPACE, trials=14, startup_trials=2, pruner=pruner).table["state"].to_list()
        for pruner in ("median", "hyperband", "none")
    }
    assert states["none"] == ["complete"] * 14
    assert states["median"][:2] == ["complete"] * 2
    assert "pruned" in states["median"]
    assert "pruned" in states["hyperband"]
    assert states["hyperband"] != states["median"]


def test_samplers_and_seeds_choose_other_trials():
    tried = [
        tune(stage, space=SPACE, **{**QUICK, "trials": 8, **changes}).table["x"].to_list()
        for changes in ({}, {"seed": 1}, {"sampler": "random"}, {"startup_trials": 8}, {"recipe_first": False})
    ]
    assert tried[0][0] == 0.5  # the recipe's own
    assert tried[1][1:] != tried[0][1:]
    assert tried[2][:3] == tried[0][:3]  # the same draws at first
    assert tried[2][3:] != tried[0][3:]
    assert tried[3][:3] == tried[0][:3]
    assert tried[3][3:] != tried[0][3:]
    assert tried[4][0] != 0.5


def test_hours_end_the_call_at_a_validation_and_the_next_one_goes_on(tmp_path):
    def late(out, epoch):
        if out.name == "0001" and epoch == 2:
            clock[0] += 3600

    import time

    clock, true = [0.0], time.monotonic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: true() + clock[0])
        tuning = tune(stage, late, space=SPACE, out=tmp_path / "out", hours=0.5, **QUICK)
    assert tuning.table["state"].to_list() == ["complete", "waiting"]
    assert len((tmp_path / "out" / "trials" / "0001" / "metrics.jsonl").read_text().splitlines()) == 2
    tuning = tune(stage, space=SPACE, out=tmp_path / "out", **QUICK)
    assert set(tuning.table["state"]) == {"complete"}
    assert tuning.results["trials"][1]["deaths"] == 0
    assert tuning.table["value"].to_list() == tune(stage, space=SPACE, **QUICK).table["value"].to_list()


def test_ctrl_c_leaves_a_trial_that_goes_on(tmp_path):
    def interrupted(out, epoch):
        if out.name == "0002" and epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(stage, interrupted, space=SPACE, out=tmp_path / "out", **QUICK)
    assert read_json(tmp_path / "out" / "tune.json")["trials"][2]["state"] == "waiting"
    tuning = tune(stage, space=SPACE, out=tmp_path / "out", **QUICK)
    assert tuning.table["value"].to_list() == tune(stage, space=SPACE, **QUICK).table["value"].to_list()


def test_lower_is_better_for_losses():
    space = {"x": "float:0:0.8", "train": [{"epochs": 3, "monitor": "log_loss"}]}
    tuning = tune(stage, space=space, **{**QUICK, "trials": 10})
    assert tuning.best_value == min(tuning.table["value"])
    assert tuning.best_settings["x"] == pytest.approx(0.3, abs=0.15)


def test_refused_settings_and_errors_are_counted_and_the_search_goes_on(capsys):
    def broken(out, epoch):
        if out.name == "0001":
            raise RuntimeError("out of memory")

    tuning = tune(stage, broken, space={"x": "float:0:1.8"}, **{**QUICK, "trials": 8})
    table = tuning.table
    refused = table.filter(table["x"] > 0.9)
    assert len(refused) > 0
    assert all(state == "failed" and "must be 0.9 at most" in why for state, why in refused["state", "why"].iter_rows())
    assert table["why"][1] == "RuntimeError: out of memory"
    assert "out of memory" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no trial is complete:\ntrial 0: x is 1\.\d+; it must be 0.9 at most"):
        tune(stage, space={"x": "float:1:1.8"}, **QUICK)


def test_same_settings_are_not_trained_twice_and_a_finite_space_ends():
    trained = []
    space = {"x": [0.1, 0.2], "kind": ["a", "b"], "options": [{"one": 1}]}
    tuning = tune(stage, lambda out, epoch: trained.append((out.name, epoch)), space=space, trials=40, pruner="none")
    states = tuning.results["trials"]
    assert len({name for name, _ in trained}) == 4  # combinations
    assert {(trial["values"]["x"], trial["values"]["kind"]) for trial in states} == {
        (x, kind) for x in (0.1, 0.2) for kind in "ab"
    }
    for trial in states:
        if trial["same_as"] is not None:
            assert trial["value"] == states[trial["same_as"]]["value"]
    assert tuning.best_settings["options"] == {"one": 1}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"xx": "float:0:1"}, "no setting is called 'xx'; did you mean 'x'"),
        ({"train.lrr": "log:1e-4:1e-2"}, "no setting is called 'train.lrr'; did you mean 'train.lr'"),
        ({"train.epochs": "float:1:2.5"}, "train.epochs = 1.0: .*integer"),
        ({"x": "float:1:0"}, "the range is empty"),
        ({"x": "float:0:nan"}, "a range is two numbers"),
        ({"x": "log:0:1"}, "begins above 0"),
        ({"x": "log:1:2:0.5"}, "has no step"),
        ({"x": "int:0:1.5"}, "integer ends"),
        ({"x": "float:0:1:0.3"}, "do not end at 1"),
        ({"x": "int:0:4:5"}, "within the range"),
        ({"x": "uniform:0:1"}, "Known forms: log:1e-4:1e-2"),
        ({"x": "0.5"}, "Known forms"),
        ({"kind": "choice:a,a"}, "each once"),
        ({"kind": []}, "at least one"),
        ({"kind": "choice:"}, "at least one"),
        ({}, "nothing to choose"),
        ({"kind": ["a"]}, "nothing to choose"),
        ({"out": ["a", "b"]}, "out cannot be searched"),
        ({"train.seed": [1, 2]}, "train.seed cannot be searched"),
        ({"train.monitor": ["a", "b"]}, "train.monitor cannot be searched"),
        ({"train": [{"epochs": 1}, {"epochs": 2}], "train.lr": [1.0, 2.0]}, "search one of them"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_any_training(tmp_path, space, message):
    with pytest.raises(InputError, match=message):
        tune(stage, space=space, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": -1}, "cannot be negative"),
        ({"hours": -1.0}, "cannot be negative"),
        ({"startup_trials": 0}, "at least 1"),
        ({"trials": 0}, "never ends"),
        ({"pruner": "mean"}, "pruner = 'mean'"),
        ({"trial": 3}, "did you mean 'trials'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        tune(stage, space=SPACE, **settings)


def test_a_folder_of_another_search_is_refused(tmp_path):
    tune(stage, space=SPACE, out=tmp_path / "out", **{**QUICK, "trials": 1})
    with pytest.raises(InputError, match=r"another search \(space.x was float:0:0.8, now float:0:0.7\)"):
        tune(stage, space={**SPACE, "x": "float:0:0.7"}, out=tmp_path / "out")
    with pytest.raises(InputError, match="another search \\(trains was stage, now other"):
        tune(other, space=SPACE, out=tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no search"):
        tune(stage, space=SPACE, out=tmp_path / "full")


def other(*, out, config: SearchedConfig | None = None):
    stage(out=out, config=config)


def test_optuna_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'recsys-bert\[tune\]'"):
        tune(stage, space=SPACE)


def test_a_stage_without_trainings_is_refused():
    def untrained(*, out, config: TuneConfig | None = None):
        raise AssertionError

    with pytest.raises(InputError, match="no settings train"):
        tune(untrained, space={"trials": "int:1:3"})


def test_a_temporary_folder_goes_with_its_result():
    tuning = tune(stage, space=SPACE, **{**QUICK, "trials": 2})
    folder = tuning.best_run
    assert folder.is_dir()
    del tuning
    assert not folder.exists()
