"""Back-testing: each cut is what preparing, training and evaluating by hand at that cut gives; means over cuts."""

import json

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from pipelines import backtest as command
from pipelines.cli import main
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.stages.backtest import backtest
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.train_retrieval import train_retrieval

CUTS = ["2024-01-05", "2024-01-07T12:00:00", "2024-01-09"]
QUICK = {"ks": [5, 10], "samples": 0, "indexes": [], "targets": ["next", "successive"]}
TOWERS = {"encoder": {"dim": 8, "n_layers": 1}, "train": {"epochs": 1, "device": "cpu", "precision": "fp32"}}


@pytest.fixture(scope="module")
def events():
    random = np.random.default_rng(0)
    start = 1_704_067_200  # 2024-01-01
    rows = [
        (user, int(item), start + int(time))
        for user in range(60)
        for item, time in zip(random.permutation(25)[:12], np.sort(random.uniform(0, 10 * 86_400, 12)), strict=True)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def train(log, folder):
    return train_retrieval(log, out=folder, **TOWERS)


def test_each_cut_is_what_its_parts_give_by_hand(events, tmp_path):
    results = backtest({"towers": train}, events, cuts=CUTS, baselines=["popular"], evaluation=QUICK, out=tmp_path)
    ends = [*CUTS[1:], None]
    before = ["2024-01-02T12:00:00", *CUTS[:-1]]
    for cut, end, validation in zip(CUTS, ends, before, strict=True):
        split = {"kind": "time", "validation_from": validation, "test_from": cut, "test_until": end}
        log = prepare(events, split=split)
        own = evaluate({"towers": train_retrieval(log, **TOWERS)}, log, baselines=["popular"], **QUICK).by_target
        rows = results.table.filter(cut=cut).select(own.columns)
        assert rows.equals(own)
    table = results.table
    mean = table.filter(cut="mean", targets="next", model="towers")
    each = table.filter(pl.col("cut") != "mean", targets="next", model="towers")
    assert mean["recall@10"].item() == pytest.approx(each["recall@10"].mean())
    assert mean["cuts"].item() == 3 == len(each)
    assert mean["users"].item() == each["users"].sum()
    last = rb.open_dataset(tmp_path / "cut-2024-01-09" / "prepared")
    assert last.manifest.counts["events"] == len(events)
    assert (tmp_path / "cut-2024-01-07T120000" / "report" / "report.html").is_file()
    assert json.loads((tmp_path / "backtest.json").read_text())["rows"] == results.results["rows"]
    assert pl.read_csv(tmp_path / "backtest.csv").height == table.height
    printed = str(results)
    assert "NDCG@10, targets: successive" in printed
    assert "mean" in printed


def test_nothing_after_a_cut_reaches_its_models(events):
    """Training ends where validation begins, which is as long as the first test, or the cut before."""
    ends = []

    def watch(log, folder):
        ends.append(TrainingEvents.of(log.histories).times.max())
        return train(log, folder)

    backtest({"towers": watch}, events, cuts=CUTS[:2], baselines=[], evaluation=QUICK)
    first_day = 1_704_067_200
    assert first_day + 86_400 < ends[0] < first_day + 86_400 * 1.5
    assert first_day + 86_400 * 3.5 < ends[1] < first_day + 86_400 * 4


def test_the_command_trains_by_recipes(events, tmp_path, capsys):
    events.write_parquet(tmp_path / "log.parquet")
    lines = ["[encoder]", "dim = 8", "n_layers = 1", "[train]", "epochs = 1", "device = 'cpu'", "precision = 'fp32'"]
    (tmp_path / "towers.toml").write_text("\n".join(lines))
    flags = ["--cuts", *CUTS, "--models", f"train-retrieval:{tmp_path / 'towers.toml'}", "--baselines", "popular"]
    flags += ["--evaluation.ks", "10", "--evaluation.samples", "0", "--evaluation.indexes", "--json"]
    assert main(["backtest", "--events", str(tmp_path / "log.parquet"), "--out", str(tmp_path / "out"), *flags]) == 0
    results = json.loads(capsys.readouterr().out)
    python = backtest(
        {"towers": train},
        events,
        cuts=CUTS,
        baselines=["popular"],
        evaluation={"ks": [10], "samples": 0, "indexes": []},
    )
    assert results["rows"] == python.results["rows"]
    for model, message in (("fuse:a.toml", "fuse"), ("pretrain:none.toml", "COMMAND:RECIPE")):
        config = command.Config(events="log", cuts=tuple(CUTS), models=(model,), out=tmp_path / "x")
        with pytest.raises(InputError, match=message):
            command.run(config)


@pytest.mark.parametrize(
    ("cuts", "settings", "message"),
    [
        (["2024-01-05"], {}, "two dates or more"),
        (["2024-01-05", "2024-01-04"], {}, "each after the one before"),
        (["soon", "later"], {}, "ISO dates"),
        (CUTS, {"split": {"kind": "none"}}, "sets the split by its cuts"),
        (CUTS, {"split": {"kind": "time", "test_from": 0.95}}, "sets the split by its cuts"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(events, cuts, settings, message):
    with pytest.raises(InputError, match=message):
        backtest({}, events, cuts=cuts, **settings)
    with pytest.raises(InputError, match="nothing to evaluate"):
        backtest({}, events, cuts=CUTS, baselines=[])
