"""The command tune: recipes in, a recipe that runs out, test files that nobody opens."""

import tomllib

import pytest

from pipelines.cli import main
from recsys_bert.files import read_json

RECIPE = """
data = "{data}"
[encoder]
dim = 8
n_layers = 1
n_heads = 1
max_len = 12
[train]
epochs = 2
batch_size = 64
device = "cpu"
precision = "fp32"
"""
TEXTS = """
[data]
train = "{folder}/train.tsv"
test = "{folder}/there is no such file.tsv"
[encoder]
dim = 8
n_layers = 1
n_heads = 1
[train]
epochs = 1
device = "cpu"
precision = "fp32"
"""
SPACE = ("--space", "train.lr=log:1e-3:1e-1", "--trials", "2")


@pytest.fixture
def recipe(simulated, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=simulated.folder))
    return path


def tune(*words):
    return main(["tune", *map(str, words)])


def test_the_recipe_that_is_written_runs_and_gives_the_same(recipe, tmp_path, capsys):
    out = tmp_path / "out"
    assert tune("train-retrieval", recipe, *SPACE, "--space", "encoder.fusion=choice:last,pool", "--out", out) == 0
    printed = capsys.readouterr()
    assert "train-retrieval tiny.toml · 2 trials: 2 complete" in printed.out
    assert f"best recipe: {out / 'best.toml'}" in printed.err
    results = read_json(out / "tune.json")
    written = tomllib.loads((out / "best.toml").read_text())
    assert written["encoder"] == {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 12} | {
        "fusion": results["best"]["values"]["encoder.fusion"]
    }
    assert main(["train-retrieval", str(out / "best.toml")]) == 0
    assert f"validation ndcg@10 {results['best']['value']:.4f}" in capsys.readouterr().err
    assert (out / "best" / "two_tower").is_dir()
    resolved = out / "best" / "config.toml"  # a run's own settings as the recipe: all are named
    again = tmp_path / "again"
    assert tune("train-retrieval", resolved, "--trials", "1", *SPACE[:2], "--out", again, "--json") == 0
    assert '"state": "complete"' in capsys.readouterr().out
    assert main(["train-retrieval", str(again / "best.toml")]) == 0


def test_a_test_file_is_not_opened_and_stays_in_the_recipe(tmp_path):
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "a goal\tsport\nweak shares\tmoney\n" * 20)
    recipe = tmp_path / "texts.toml"
    recipe.write_text(TEXTS.format(folder=tmp_path))
    assert tune("text", "classify", "train", recipe, *SPACE, "--out", tmp_path / "out") == 0
    written = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    assert written["data"]["test"] == f"{tmp_path}/there is no such file.tsv"
    best = read_json(tmp_path / "out" / "tune.json")["best"]
    assert "test" not in read_json(tmp_path / "out" / "trials" / f"{best['number']:04d}" / "metrics.json", sealed=True)


def refused(capsys):
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "trial 0" not in error
    return error


def test_bad_input_is_refused_before_any_training(recipe, tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    assert tune("train-retrieval", recipe, "--space", "train.lrr=log:1e-3:1e-1", *out) == 2
    assert "no setting is called 'train.lrr'; did you mean 'train.lr'" in refused(capsys)
    assert tune("train-retrieval", recipe, "--space", "data=choice:a,b", *out) == 2
    assert "data cannot be searched" in refused(capsys)
    assert tune("train-retrieval", recipe, *SPACE, "--space", "train.lr=log:1e-3:1", *out) == 2
    assert "train.lr twice" in refused(capsys)
    assert tune("train-retrieval", *SPACE, *out) == 2
    assert "name the training command and its recipe" in refused(capsys)
    assert tune("recommend", recipe, *SPACE, *out) == 2
    assert "no command that can be searched is called 'recommend'" in refused(capsys)
    (tmp_path / "lost.toml").write_text(RECIPE.format(data=tmp_path / "lost"))
    assert tune("train-retrieval", tmp_path / "lost.toml", *SPACE, *out) == 2
    assert f"{tmp_path / 'lost'} is not a folder" in refused(capsys)
    assert not (tmp_path / "out").exists()
