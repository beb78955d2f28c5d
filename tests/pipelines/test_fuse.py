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
from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.retrieval.load import open_run
from recsys_bert.retrieval.recency import Recency
from recsys_bert.stages.fuse import fuse


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
    names = ("weight", "smoothing", "half_life", "recent_kernel", "recent_days", "recent_weight", "recent_smoothing")
    assert [summary.get(name) for name in names] == [best.get(name) for name in names]
    assert len(tried) == 2 * 8 + 2 * 30  # with and without a half-life; beside the best of them and alone
    assert best["ndcg@10"] > alone["ndcg@10"] + 0.1

    flags = ["evaluate", "--data", "data", "--runs", "both", "of-data", "--split", "validation", "--ks", "10"]
    status, out, err = call(*flags, "--out", "report", "--baselines", "markov", "--indexes", "Flat", "--json")
    assert status == 0, err
    report = json.loads(out)
    metrics = {line["name"]: line for line in report["models"]}
    assert metrics["both"]["metrics"]["ndcg@10"]["value"] == pytest.approx(best["ndcg@10"])
    assert metrics["of-data"]["metrics"]["ndcg@10"]["value"] == pytest.approx(alone["ndcg@10"])
    assert {line["run"] for line in report["indexes"]} == {"of-data"}  # no index finds what counts lift

    lists = [
        call("recommend", "--run", name, "--data", "data", "--all-users", "--json") for name in ("both", "of-data")
    ]
    assert [status for status, *_ in lists] == [0, 0]
    assert json.loads(lists[0][1])["results"] != json.loads(lists[1][1])["results"]
    assert call("index", "--run", "both", "--data", "data", "--out", "both-index")[0] == 0
    indexed = call("recommend", "--run", "both", "--data", "data", "--all-users", "--json", "--index", "both-index")
    for line, other in zip(json.loads(lists[0][1])["results"], json.loads(indexed[1])["results"], strict=True):
        assert [item["item_id"] for item in line["items"]] == [item["item_id"] for item in other["items"]]
    assert call("similar", "--run", "both", "--data", "data", "--items", "3")[0] == 0


ONLY_COUNTS = ("--recent-weights", "--half-lives")


@pytest.mark.slow
def test_of_several_runs_the_mean_is_served(folder, call):
    """By itself and with counts; an index holds it as any run."""
    flags = ["--data", "data", "--runs", "of-data", "other-seed"]
    status, out, err = call("fuse", *flags, "--out", "mean", "--weights", "--json", *ONLY_COUNTS)
    assert status == 0, err
    alone = json.loads(out)["tried"]
    assert [line["weight"] for line in alone] == [0]
    status, out, err = call("fuse", *flags, "--out", "mean-and-counts", "--json", *ONLY_COUNTS)
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
    status, _, err = call(
        "fuse", "--data", "data", "--runs", "other-seed", "of-data", "--out", "naem", "--weights", *ONLY_COUNTS
    )
    assert status == 0, err
    assert "without counts, no recency; wrote naem" in err
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
        assert call("fuse", *flags, "--weights", *weights, *ONLY_COUNTS)[0] == 0
    flags = ["evaluate", "--data", "data", "--runs", "plain", "raised", "--ks", "5", "--baselines", "--indexes", "Flat"]
    status, out, err = call(*flags, "--out", "report-of-indexes", "--json")
    assert status == 0, err
    assert {line["run"] for line in json.loads(out)["indexes"]} == {"plain"}


def test_a_fused_run_of_an_older_version(folder, call):
    flags = ["--data", "data", "--runs", "of-data", "--out", "old", "--weights", "1", "--smoothings", "0.01"]
    assert call("fuse", *flags)[0] == 0
    path = folder / "old" / "score_fusion" / "config.json"
    path.write_text(path.read_text().replace('"runs"', '"run"'))
    write_checksums(path.parent)
    status, _, err = call("recommend", "--run", "old", "--data", "data", "--all-users")
    assert status == 2
    assert "names no runs" in err


def test_made_again_it_is_replaced_and_nothing_else_is(folder, call):
    for weight in ("0.5", "2"):
        status, out, err = call(
            *("fuse", "--runs", "of-data", "--data", "data", "--out", "twice"),
            *("--weights", weight, "--smoothings", "0.01", "--validation-users", "30"),
            *ONLY_COUNTS,
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
    status, _, err = call(*flags, "--weights", "1", "--smoothings", "0.01")
    assert status == 0
    assert "recency is left out: nothing is held out to choose it by" in err
    assert (folder / "refitted" / "score_fusion" / "after.npz").exists()
    single = ["--weights", "--recent-weights", "2", "--recent-half-lives", "3", "--recent-windows"]
    status, _, err = call(*flags, *single)
    assert status == 0
    assert "without counts; recency by a half-life of 3 days, weight 2" in err
    assert not (folder / "refitted" / "score_fusion" / "after.npz").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runs", "of-data", "--out", "data"], "data is there and is no score fusion"),
        (["--runs", "of-data", "--out", "log.parquet"], "log.parquet is there and is no score fusion"),
        (["--runs", "data", "--out", "new"], "holds no trained ranker"),
        (["--runs", "of-data", "--out", "new", "--weights", "0"], r"weights are \[0.0\]; give one number above 0"),
        (["--runs", "of-data", "--out", "new", "--smoothings"], r"smoothings are \[\]; give one number above 0"),
        (
            ["--runs", "of-data", "--out", "new", "--recent-half-lives", "--recent-windows"],
            "recent_weights have no effect",
        ),
        (
            ["--runs", "of-data", "--out", "new", "--weights", "--recent-weights"],
            "without weights a run stays as it is",
        ),
        (["--runs", "of-data", "of-data", "--out", "new"], "runs are of-data, of-data; give each once"),
        (["--runs", "of-data", "--out", "new", "--decay", "2"], "decay 2.0"),
        (["--runs", "twice", "--out", "new"], "twice is a score fusion already"),
    ],
)
def test_what_cannot_be(folder, call, flags, message):
    call(
        "fuse",
        "--runs",
        "of-data",
        "--data",
        "data",
        "--out",
        "twice",
        "--weights",
        "1",
        "--smoothings",
        "0.01",
        *ONLY_COUNTS,
    )
    status, _, err = call("fuse", "--data", "data", *flags)
    assert status == 2
    assert re.search(message, err)
    assert not (folder / "new").exists()


@pytest.fixture(scope="module")
def drift(tmp_path_factory, quick):
    """Everybody takes the items of the week, which change; towers that hardly learned. A cut by time."""
    folder = tmp_path_factory.mktemp("drift")
    random, day = np.random.default_rng(0), 86_400
    events = [
        (user, int(10 * week + random.integers(-6, 10)) % 60, (7 * week + int(random.integers(7))) * day + position)
        for user in range(70)
        for week in range(6)
        for position in range(2)
        if random.random() < 0.8
    ]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    run(Config(events=str(folder / "log.parquet"), out=folder / "data", split=SplitConfig(kind="time")))
    small = EncoderConfig(dim=8, n_layers=1, n_heads=1, max_len=12)
    train(TrainConfig(data=folder / "data", out=folder / "towers", encoder=small, train=quick(epochs=1)))
    return folder


def test_recency_is_chosen_where_interests_drift_and_indexes_hold_it(drift, capsys, monkeypatch):
    monkeypatch.chdir(drift)

    def call(*flags):
        assert main([*flags, "--data", "data"]) == 0
        return json.loads(capsys.readouterr().out)

    summary = call("fuse", "--runs", "towers", "--out", "fused", "--weights", "--json")
    assert (summary["weight"], summary["recent_weight"] > 0) == (0, True)
    flags = ["--split", "validation", "--ks", "10", "--baselines", "popular_recent", "popular_decayed"]
    report = call("evaluate", "--runs", "fused", "towers", *flags, "--out", "report", "--json", "--indexes", "Flat")
    metrics = {line["name"]: line["metrics"]["ndcg@10"]["value"] for line in report["models"]}
    best = max(line["ndcg@10"] for line in summary["tried"])
    assert metrics["fused"] == pytest.approx(best)
    assert metrics["fused"] > metrics["towers"] + 0.05
    assert metrics["fused"] > metrics["popular_recent"]
    recalls = {line["run"]: line["ann_recall"] for line in report["indexes"] if line["factory"] == "Flat"}
    assert recalls["fused"] == pytest.approx(1)  # recency is in the vectors
    call("index", "--run", "fused", "--out", "index", "--json")
    lists = [call("recommend", "--run", "fused", "--all-users", "--json", *way) for way in ([], ["--index", "index"])]
    exact, indexed = ([[item["item_id"] for item in line["items"]] for line in one["results"]] for one in lists)
    assert exact == indexed
    assert main(["recommend", "--run", "fused", "--data", "data", "--all-users", "--index", "towers/index"]) == 2
    assert "was made from other weights" in capsys.readouterr().err
    near = [call("similar", "--run", name, "--items", "3", "--json")["results"] for name in ("fused", "towers")]
    assert near[0] == near[1]  # what is alike does not change with the season
    newcomer = call("recommend", "--run", "fused", "--users", "999", "--k", "5", "--json")["results"][0]
    recency = Recency(kernel=summary["recent_kernel"], days=summary["recent_days"], weight=1, smoothing=0.001)
    dataset = open_dataset(drift / "data")
    gains = recency.gains(dataset, dataset.vocabulary.size)
    rows = dataset.rows([item["item_id"] for item in newcomer["items"]])
    assert newcomer["source"] == "popular"
    assert gains[rows].tolist() == np.sort(gains)[::-1][:5].tolist()  # popular lately, as the rest of the score is
    users = [call("similar", "--run", name, "--users", "3", "--json")["results"] for name in ("fused", "towers")]
    assert users[0] == users[1]


def test_every_setting_of_recency_and_of_repeats_is_tried(drift):
    dataset = open_dataset(drift / "data")
    small = {"weights": [1.0], "smoothings": [0.01], "recent_windows": [7.0]}
    settings = {"half_lives": [5.0], "recent_weights": [2.0, 3.0], "recent_half_lives": [3.0]}
    summaries = [
        fuse([drift / "towers"], dataset, **small, **settings, **more).summary
        for more in ({}, {"seen": True}, {"recent_smoothings": [0.1]}, {"targets": "last"})
    ]
    plain, seen, smooth, last = ({_key(line): line["ndcg@10"] for line in summary["tried"]} for summary in summaries)
    assert {key[0] for key in plain} == {None, 5.0}
    assert {key[1:] for key in plain} == {
        (None, None, None, None),
        *(("half_life", 3.0, weight, 0.001) for weight in (2.0, 3.0)),
        *(("window", 7.0, weight, 0.001) for weight in (2.0, 3.0)),
    }
    assert seen[None, None, None, None, None] != plain[None, None, None, None, None]  # people repeat here
    assert {key[4] for key in smooth} == {None, 0.1}
    assert last[None, None, None, None, None] != plain[None, None, None, None, None]


def _key(line):
    names = ("half_life", "recent_kernel", "recent_days", "recent_weight", "recent_smoothing")
    return tuple(line.get(name) for name in names)
