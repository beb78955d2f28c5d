"""compare on clicks: metrics as evaluate has them, going on after a kill, configurations that cannot be trained."""

import json

import numpy as np
import pytest

from pipelines import evaluate
from pipelines.cli import main
from recsys_bert.clicks.batches import HistoryBatches
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
batch_size = 32
lr = 1e-2
device = "cpu"
precision = "fp32"
"""


@pytest.fixture
def compare(simulated, tmp_path):
    """Run ``compare`` with a command and some flags; the exit status."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(data=simulated.folder))

    def call(command, *flags, out="out"):
        return main(["compare", command, str(recipe), "--out", str(tmp_path / out), *flags])

    return call


@pytest.mark.slow
def test_metrics_are_those_of_evaluate(compare, simulated, tmp_path):
    assert compare("pretrain", "--grid", "encoder.fusion=last,token_mix", "--seeds", "1") == 0
    results = read_json(tmp_path / "out" / "compare.json")
    runs = [tmp_path / "out" / "runs" / f"fusion={name}" / "seed-0" for name in ("last", "token_mix")]
    config = evaluate.Config(
        data=simulated.folder, out=tmp_path / "report", runs=tuple(runs), baselines=(), indexes=(), ks=(10,)
    )
    report = evaluate.run(config)
    for configuration, model in zip(results["configurations"], report["models"], strict=True):
        metrics = {name: entry["mean"] for name, entry in configuration["metrics"].items()}
        expected = {name: model["metrics"][name]["value"] for name in ("ndcg@10", "recall@10")}
        expected |= {
            f"recall@10 of {line['group']} ({line['predictions']})": line["recall@10"]
            for line in model["by_training_events"]
            if line["targets"]
        }
        assert metrics == pytest.approx(expected)
        assert [epoch for epoch, *_ in configuration["curve"]] == [1, 2]
    (line,) = results["comparisons"]
    expected = next(one for one in report["comparisons"] if one["metric"] == "ndcg@10")
    for name in ("difference", "better", "worse", "tied", "p_value"):
        assert line[name] == pytest.approx(expected[name])
    assert results["metric"] == results["monitor"] == "ndcg@10"


@pytest.mark.slow
def test_the_monitor_says_what_configurations_are_compared_by(compare, tmp_path, capsys):
    flags = ["--grid", "train.monitor=recall@10", "--grid", "loss.name=full,sampled", "--seeds", "1", "--json"]
    assert compare("train-retrieval", *flags) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["metric"] == "recall@10"
    means = [configuration["metrics"]["recall@10"]["mean"] for configuration in results["configurations"]]
    assert results["comparisons"][0]["difference"] == pytest.approx(means[1] - means[0])
    folder = tmp_path / "out" / "runs" / "name=sampled" / "seed-0"
    with np.load(folder / "test.npz") as arrays:
        assert set(arrays["recall@10"].tolist()) == {0.0, 1.0}
        assert arrays["recall@10"].mean() == means[1]


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.slow
def test_killed_towers_go_on(compare, tmp_path, monkeypatch, capsys):
    flags = ["--grid", "encoder.fusion=last,scalar_mix", "--seeds", "1"]
    assert compare("train-retrieval", *flags, out="straight") == 0
    honest, count = HistoryBatches.__call__, 0

    def dies_in_the_second_epoch_of_the_second_run(self, epoch, *args, **more):
        nonlocal count
        count += epoch == 1
        for at, batch in enumerate(honest(self, epoch, *args, **more)):
            if count == 2 and at == 1:
                raise Killed
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(HistoryBatches, "__call__", dies_in_the_second_epoch_of_the_second_run)
        with pytest.raises(Killed):
            compare("train-retrieval", *flags, out="killed")
    assert [path.parts[-3] for path in (tmp_path / "killed").rglob("test.json")] == ["fusion=last"]
    capsys.readouterr()
    assert compare("train-retrieval", *flags, out="killed") == 0
    stderr = capsys.readouterr().err
    assert "1 of 2 runs are there already" in stderr
    assert "seed-0 holds this run already: going on where it stopped" in stderr
    one, other = (read_json(tmp_path / name / "compare.json") for name in ("straight", "killed"))
    for key in ("metrics", "curve"):
        assert [entry[key] for entry in one["configurations"]] == [entry[key] for entry in other["configurations"]]
    assert one["comparisons"] == other["comparisons"]


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (
            "train-retrieval",
            ["loss.negatives.hard_negatives=0,500"],
            "error: negatives.hard_negatives=500: loss.negatives.skip_top + hard_negatives is 0 + 500, but",
        ),
        (
            "train-retrieval",
            ["loss.name=full,ful"],
            "loss.name = 'ful': Input should be 'full', 'sampled', 'gbce', 'sce' or 'rece'",
        ),
        ("pretrain", ["encoder.layer=pre_norm,hstu", "encoder.times=false,true"], "layer=pre_norm times=true: "),
        ("pretrain", ["teacher=nowhere"], "nowhere"),
        ("pretrain", ["train.monitor=auc"], "train.monitor is 'auc'; this training validates recall@10 and ndcg@10"),
        ("text match train", ["encoder.neck=none,cnn"], "Input should be an object"),  # a recipe of another command
    ],
)
def test_configurations_whose_parts_refuse_each_other_stop_all(compare, tmp_path, capsys, command, flags, message):
    assert compare(command, *(part for flag in flags for part in ("--grid", flag))) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_log_without_a_test_cannot_be_compared(compare, simulated, tmp_path, capsys):
    assert compare("pretrain", "--grid", f"data={tmp_path}") == 2
    assert compare("pretrain", "--grid", f"data={simulated.folder},{tmp_path}") == 2
    assert str(tmp_path) in capsys.readouterr().err
