"""fuse from the command line, and the commands that read a fused run."""

import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipelines.cli import main
from pipelines.prepare import Config, run
from pipelines.train_retrieval import Config as TrainConfig
from pipelines.train_retrieval import run as train
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.retrieval.load import open_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick):
    """40 items that everybody takes in one of three orders, prepared twice, and towers that hardly learned of it."""
    folder = tmp_path_factory.mktemp("fusion")
    random = np.random.default_rng(0)
    orders = [random.permutation(40) for _ in range(3)]
    events = [
        (user, int(item), place)
        for user in range(90)
        for place, item in enumerate(np.roll(orders[user % 3], -random.integers(40))[: random.integers(6, 20)])
    ]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    events = str(folder / "log.parquet")
    run(Config(events=events, out=folder / "data"))
    run(Config(events=events, out=folder / "refit", split=SplitConfig(validation=False)))
    small = EncoderConfig(dim=8, n_layers=1, n_heads=1, max_len=12)
    for name in ("data", "refit"):
        train(TrainConfig(data=folder / name, out=folder / f"of-{name}", encoder=small, train=quick(epochs=1)))
    seeded = replace(quick(epochs=1), seed=1, precision="auto")
    train(TrainConfig(data=folder / "data", out=folder / "other-seed", encoder=small, train=seeded))
    return folder


@pytest.fixture
def call(folder, capsys, monkeypatch):
    """``call("score_fusion", flags …)`` → (exit status, stdout, stderr)."""
    monkeypatch.chdir(folder)

    def command(*flags):
        status = main(list(flags))
        return status, *capsys.readouterr()

    return command


def test_the_best_pair_on_validation_is_kept_and_served(folder, call):
    status, out, err = call("fuse", "--runs", "of-data", "--data", "data", "--out", "both", "--json")
    assert status == 0, err
    summary = json.loads(out)
    alone, *tried = summary["tried"]
    best = max(tried, key=lambda line: line["ndcg@10"])
    assert (summary["weight"], summary["smoothing"]) == (best["weight"], best["smoothing"])
    assert len(tried) == 8
    assert best["ndcg@10"] > alone["ndcg@10"] + 0.1

    flags = ["evaluate", "--data", "data", "--runs", "both", "of-data", "--split", "validation", "--ks", "10"]
    status, out, err = call(*flags, "--out", "report", "--baselines", "markov", "--indexes", "Flat", "--json")
    assert status == 0, err
    report = json.loads(out)
    metrics = {line["name"]: line for line in report["models"]}
    assert metrics["both"]["metrics"]["ndcg@10"]["value"] == pytest.approx(best["ndcg@10"])
    assert metrics["of-data"]["metrics"]["ndcg@10"]["value"] == pytest.approx(alone["ndcg@10"])
    assert {line["run"] for line in report["indexes"]} == {"of-data"}  # a score fusion has no vectors of its own

    lists = [
        call("recommend", "--run", name, "--data", "data", "--all-users", "--json") for name in ("both", "of-data")
    ]
    assert [status for status, *_ in lists] == [0, 0]
    assert json.loads(lists[0][1])["results"] != json.loads(lists[1][1])["results"]
    indexed = call("recommend", "--run", "both", "--data", "data", "--all-users", "--json", "--index", "of-data/index")
    for line, other in zip(json.loads(lists[0][1])["results"], json.loads(indexed[1])["results"], strict=True):
        assert [item["item_id"] for item in line["items"]] == [item["item_id"] for item in other["items"]]
    assert call("similar", "--run", "both", "--data", "data", "--items", "3")[0] == 0


@pytest.mark.slow
def test_of_several_runs_the_mean_is_served(folder, call):
    """By itself and with counts; an index holds it as any run."""
    flags = ["--data", "data", "--runs", "of-data", "other-seed"]
    status, out, err = call("fuse", *flags, "--out", "mean", "--weights", "--json")
    assert status == 0, err
    alone = json.loads(out)["tried"]
    assert [line["weight"] for line in alone] == [0]
    status, out, err = call("fuse", *flags, "--out", "mean-and-counts", "--json")
    assert status == 0, err
    tried = json.loads(out)["tried"]
    assert tried[0] == alone[0]
    assert max(line["ndcg@10"] for line in tried[1:]) > tried[0]["ndcg@10"] + 0.1

    flags = ["evaluate", "--data", "data", "--runs", "mean", "of-data", "other-seed", "--split", "validation"]
    status, out, err = call(*flags, "--ks", "10", "--out", "report-of-several", "--baselines", "--json")
    assert status == 0, err
    metrics = {line["name"]: line["metrics"]["ndcg@10"]["value"] for line in json.loads(out)["models"]}
    assert metrics["mean"] == pytest.approx(alone[0]["ndcg@10"])
    assert metrics["mean"] not in (metrics["of-data"], metrics["other-seed"])

    assert call("index", "--run", "mean", "--data", "data", "--out", "mean-index")[0] == 0
    lists = [
        call("recommend", "--run", "mean", "--data", "data", "--all-users", "--json", *flags)[1]
        for flags in ([], ["--index", "mean-index"])
    ]
    exact, indexed = (json.loads(line)["results"] for line in lists)
    for line, other in zip(exact, indexed, strict=True):
        assert [item["item_id"] for item in line["items"]] == [item["item_id"] for item in other["items"]]
    status, _, err = call("fuse", "--data", "data", "--runs", "other-seed", "of-data", "--out", "naem", "--weights")
    assert status == 0, err
    assert "without counts; wrote naem" in err
    for other in ("naem", "of-data"):
        status, _, err = call("recommend", "--run", other, "--data", "data", "--all-users", "--index", "mean-index")
        assert status == 2
        assert "was made from other weights" in err

    assert not (folder / "mean" / "score_fusion" / "after.npz").exists()
    dataset = open_dataset(folder / "data")
    ensemble, raised = (open_run(folder / name, dataset) for name in ("mean", "mean-and-counts"))
    assert (ensemble.name, raised.name) == ("mean", "mean-and-counts")
    assert [line.precision for line in raised.ranker.rankers] == ["fp32", "auto"]
    assert [line.precision for line in ensemble.rankers] == ["fp32", "auto"]


@pytest.mark.slow
def test_index_types_are_compared_where_scores_are_inner_products(folder, call):
    for name, weights in (("plain", []), ("raised", ["1"])):
        flags = ["--data", "data", "--runs", "of-data", "other-seed", "--out", name, "--smoothings", "0.01"]
        assert call("fuse", *flags, "--weights", *weights)[0] == 0
    flags = ["evaluate", "--data", "data", "--runs", "plain", "raised", "--ks", "5", "--baselines", "--indexes", "Flat"]
    status, out, err = call(*flags, "--out", "report-of-indexes", "--json")
    assert status == 0, err
    assert {line["run"] for line in json.loads(out)["indexes"]} == {"plain"}


def test_a_fused_run_of_an_older_version(folder, call):
    flags = ["--data", "data", "--runs", "of-data", "--out", "old", "--weights", "1", "--smoothings", "0.01"]
    assert call("fuse", *flags)[0] == 0
    path = folder / "old" / "score_fusion" / "config.json"
    path.write_text(path.read_text().replace('"runs"', '"run"'))
    status, _, err = call("recommend", "--run", "old", "--data", "data", "--all-users")
    assert status == 2
    assert "names no runs" in err


def test_made_again_it_is_replaced_and_nothing_else_is(folder, call):
    for weight in ("0.5", "2"):
        status, out, err = call(
            *("fuse", "--runs", "of-data", "--data", "data", "--out", "twice"),
            *("--weights", weight, "--smoothings", "0.01", "--validation-users", "30"),
        )
        assert status == 0, err
        assert out.splitlines()[-1].split()[:2] == [weight, "0.01"]
        (folder / "twice" / "mine.txt").write_text("kept")
    assert json.loads((folder / "twice" / "score_fusion" / "config.json").read_text())["weight"] == 2
    assert (folder / "twice" / "mine.txt").exists()


def test_without_validation_there_must_be_one_pair(folder, call):
    flags = ["fuse", "--runs", "of-refit", "--data", "refit", "--out", "refitted"]
    status, _, err = call(*flags)
    assert status == 2
    assert "8 pairs cannot be told apart" in err
    assert not (folder / "refitted").exists()
    assert call(*flags, "--weights", "1", "--smoothings", "0.01")[0] == 0
    assert (folder / "refitted" / "score_fusion" / "after.npz").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runs", "of-data", "--out", "data"], "data is there and is no score fusion"),
        (["--runs", "of-data", "--out", "log.parquet"], "log.parquet is there and is no score fusion"),
        (["--runs", "data", "--out", "new"], "holds no trained ranker"),
        (["--runs", "of-data", "--out", "new", "--weights", "0"], r"weights are \[0.0\]; give one number above 0"),
        (["--runs", "of-data", "--out", "new", "--smoothings"], r"smoothings are \[\]; give one number above 0"),
        (["--runs", "of-data", "--out", "new", "--weights"], "without weights a run stays as it is"),
        (["--runs", "of-data", "of-data", "--out", "new"], "runs are of-data, of-data; give one at least, and each"),
        (["--runs", "of-data", "--out", "new", "--decay", "2"], "decay 2.0"),
        (["--runs", "twice", "--out", "new"], "twice is a score fusion already"),
    ],
)
def test_what_cannot_be(folder, call, flags, message):
    call("fuse", "--runs", "of-data", "--data", "data", "--out", "twice", "--weights", "1", "--smoothings", "0.01")
    status, _, err = call("fuse", "--data", "data", *flags)
    assert status == 2
    assert re.search(message, err)
    assert not (folder / "new").exists()
