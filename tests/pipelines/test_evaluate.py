"""Evaluate from end to end on a small simulated log, checked against the log itself and the simulator's oracle."""

import itertools
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pipelines import cli, evaluate, prepare, pretrain
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import SplitConfig, VocabularyConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import write_simulation
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.files import write_json
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.load import open_run
from recsys_bert.stages.evaluation.run_records import layer_weights, training_curve
from recsys_bert.training.config import TrainConfig
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder

SIMULATED = {"categories": 2, "leaves": 2, "styles": 3, "items": 60, "mean_events": 12, "max_events": 25}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated log of 200 users, prepared two ways, and two runs: ``mix`` (scalar_mix) and ``token`` (token_mix)."""
    base = tmp_path_factory.mktemp("evaluate")
    write_simulation(SimulateConfig(users=200, **SIMULATED), base / "log")
    events = str(base / "log" / "clicks.parquet")
    prepare.run(prepare.Config(events=events, out=base / "loo", split=SplitConfig(kind="leave_one_out")))
    by_time = SplitConfig(kind="time", validation_from=0.7, test_from=0.8)
    rare = VocabularyConfig(min_count=25)
    prepare.run(prepare.Config(events=events, out=base / "time", split=by_time, vocabulary=rare))
    for name, fusion in (("mix", "scalar_mix"), ("token", "token_mix")):
        encoder = EncoderConfig(dim=8, n_heads=1, max_len=20, fusion=fusion)
        training = TrainConfig(epochs=1, batch_size=64)
        pretrain.run(pretrain.Config(data=base / "loo", out=base / name, encoder=encoder, train=training))
    return base


@pytest.fixture(scope="module")
def results(folder):
    """The whole evaluation, and what it wrote."""
    config = evaluate.Config(
        data=folder / "loo",
        out=folder / "report",
        runs=(folder / "mix", folder / "token"),
        ks=(10, 5, 20),
        indexes=("Flat", "IVF4,Flat"),
        truth=folder / "log" / "truth.parquet",
        samples=100,
    )
    return evaluate.run(config)


def model(results, name):
    return next(one for one in results["models"] if one["name"] == name)


def test_every_model_has_metrics_at_every_k(results):
    assert [one["name"] for one in results["models"]] == [
        *("mix", "token", "popular", "popular_recent", "item_knn", "markov"),
        "best possible",
    ]
    assert results["ks"] == [5, 10, 20]
    for one in results["models"]:
        for metric in ("recall", "ndcg", "hit", "mrr"):
            values = [one["metrics"][f"{metric}@{k}"]["value"] for k in (5, 10, 20)]
            assert 0 < values[0] <= values[1] <= values[2] < 1


def test_popular_equals_a_plain_loop_over_the_log(folder, results):
    log = pl.read_parquet(folder / "log" / "clicks.parquet").sort("user_id", "timestamp", maintain_order=True)
    histories = {user[0]: part["item_id"].to_list() for user, part in log.group_by("user_id", maintain_order=True)}
    counts: dict[int, int] = {}
    for history in histories.values():
        for item in history[:-2]:
            counts[item] = counts.get(item, 0) + 1
    popular = sorted(counts, key=lambda item: (-counts[item], item))
    hits = [
        history[-1] in [item for item in popular if item not in history[:-1]][:10] for history in histories.values()
    ]
    assert model(results, "popular")["metrics"]["recall@10"]["value"] == pytest.approx(np.mean(hits))


def test_the_best_possible_is_what_the_simulator_says(folder, results):
    truth = json.loads((folder / "log" / "truth.json").read_text())["best"]["test"]
    for k in (5, 10, 20):
        assert model(results, "best possible")["metrics"][f"recall@{k}"]["value"] == pytest.approx(
            truth[f"recall@{k}"]["drawn"]
        )
        assert results["best_possible"]["expected"][f"recall@{k}"] == pytest.approx(truth[f"recall@{k}"]["expected"])


def test_metrics_of_a_run_equal_those_of_its_lists(folder, results):
    dataset = open_dataset(folder / "loo")
    queries = Queries.of(dataset, "test")
    lists = open_run(folder / "mix", dataset).rank(queries, 10)
    targets = dict(zip(*queries.targets(), strict=True))
    hits = [targets[query] in row for query, row in enumerate(lists)]
    assert model(results, "mix")["metrics"]["hit@10"]["value"] == pytest.approx(np.mean(hits))


def test_indexes_are_compared_with_exact_search(results):
    lines = {(line["run"], line["factory"]): line for line in results["indexes"]}
    assert set(lines) == {(run, index) for run in ("mix", "token") for index in ("exact", "Flat", "IVF4,Flat")}
    for run in ("mix", "token"):
        assert lines[run, "Flat"]["ann_recall"] == pytest.approx(1.0, abs=0.002)  # but for ties
        assert lines[run, "exact"]["recall"] == model(results, run)["metrics"]["recall@20"]["value"]
    assert all(line["queries_per_second"] > 0 and line["bytes"] > 0 for line in results["indexes"])


def test_runs_are_compared_with_the_first_and_with_the_best_baseline(results):
    baselines = [one for one in results["models"] if one["kind"] == "baseline"]
    best = max(baselines, key=lambda one: one["metrics"]["ndcg@10"]["value"])["name"]
    pairs = [(line["model"], line["against"]) for line in results["comparisons"] if line["metric"] == "ndcg@10"]
    assert pairs == [("token", "mix"), ("mix", best), ("token", best)]


def test_page_and_json_are_written_and_agree(folder, results):
    assert json.loads((folder / "report" / "report.json").read_text()) == json.loads(json.dumps(results))
    page = (folder / "report" / "report.html").read_text()
    assert f"{model(results, 'mix')['metrics']['ndcg@10']['value']:.4f}" in page
    assert results["protocol"]["line"] in page
    assert "leave-one-out" in results["protocol"]["line"]
    assert (
        "full ranking of 60 items · seen items removed · ties: lower row first · NDCG: ideal list of min(targets, k)"
        in results["protocol"]["line"]
    )


def test_layer_weights_are_those_of_the_run(folder, results):
    by_run = {line["run"]: line for line in results["fusion"]}
    assert set(by_run) == {"mix", "token"}
    for line in by_run.values():
        assert line["labels"] == ["0", "1", "2"]
        assert sum(line["weights"]) == pytest.approx(1.0, abs=1e-5)
    dataset = open_dataset(folder / "loo")
    ranker = open_run(folder / "mix", dataset)
    with torch.no_grad():
        ranker.pretrained.encoder.fusion.mix.copy_(torch.tensor([0.0, 0.0, 20.0]))
    weights = layer_weights(ranker, Queries.of(dataset), "mix")
    assert weights["weights"] == pytest.approx([0, 0, 1], abs=1e-6)


@pytest.mark.parametrize(("fusion", "labels"), [("token_mix", ["0", "1", "2"]), ("layer_attention", ["1", "2"])])
def test_layer_weights_of_histories_are_means_over_real_positions(folder, fusion: str, labels: list[str]):
    dataset = open_dataset(folder / "loo")
    torch.manual_seed(0)
    settings = EncoderConfig(vocab_size=dataset.vocabulary.size, dim=8, n_heads=1, max_len=20, fusion=fusion)
    prediction = TokenPrediction(Encoder(settings), LossConfig(), first_row=dataset.vocabulary.first_item).eval()
    for parameter in prediction.encoder.fusion.parameters():
        torch.nn.init.normal_(parameter)
    ranker, queries = EncoderRanker(PretrainedEncoder(prediction, "next_item")), Queries.of(dataset)[:5]
    seen = []
    for rows in (queries[[n]].inputs(20)[0] for n in range(5)):  # one by one, so that nothing is padding
        states = prediction.encoder(torch.from_numpy(rows)).states
        seen.append(prediction.encoder.fusion.weights(states)[0])
    weights = layer_weights(ranker, queries, "random")
    assert weights["labels"] == labels
    assert weights["weights"] == pytest.approx(torch.cat(seen).mean(0).tolist(), abs=1e-5)


def test_long_curves_are_thinned_and_broken_ones_refused(tmp_path):
    lines = [{"step": n, "loss": float(n)} for n in range(1000)] + [{"step": 999, "recall@10": 0.2, "ndcg@10": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    curve = training_curve(tmp_path, "a")
    assert len(curve["loss"]) <= 400
    assert curve["loss"][0] == [1.0, 1.0]  # steps 0, 1, 2 averaged
    assert (curve["metric_name"], curve["metric"]) == ("ndcg@10", [[999.0, 0.1]])
    assert training_curve(tmp_path / "none", "a") is None
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 10')
    with pytest.raises(InputError, match="line 1002 of"):
        training_curve(tmp_path, "a")


def test_unknown_targets_of_a_time_split_are_misses_and_both_denominators_are_shown(folder, tmp_path):
    config = evaluate.Config(
        data=folder / "time", out=tmp_path, baselines=("popular",), ks=(10,), indexes=(), samples=0
    )
    results = evaluate.run(config)
    dataset = open_dataset(folder / "time")
    data = dataset.histories
    test = np.concatenate([data.items[a:b] for a, b in zip(data.validation_end, data.offsets[1:], strict=True)])
    queries = Queries.of(dataset)
    assert results["protocol"]["targets_unknown"] == (test < dataset.vocabulary.first_item).sum() - sum(
        (data.items[data.validation_end[u] : data.offsets[u + 1]] < dataset.vocabulary.first_item).sum()
        for u in set(range(data.n_users)) - set(queries.users.tolist())
    )
    assert results["protocol"]["targets_unknown"] > 0
    assert results["skipped"] == {reason: n for reason, n in queries.skipped.items() if n}
    popular = results["models"][0]
    assert popular["warm"]["recall@10"]["value"] > popular["metrics"]["recall@10"]["value"]


@pytest.mark.slow
@pytest.mark.shared_data
def test_beauty_equals_a_plain_loop_with_both_denominators(shared_data, tmp_path):
    path = shared_data / "amazon-beauty" / "Beauty.txt"
    prepare.run(prepare.Config(events=str(path), out=tmp_path / "data"))
    settings = {"baselines": ("popular", "popular_recent"), "ks": (10,), "samples": 0}
    results = evaluate.run(evaluate.Config(data=tmp_path / "data", out=tmp_path / "report", **settings))
    histories = [line.split()[1:] for line in path.read_text().splitlines()]
    counts = Counter(item for history in histories for item in history[:-2])
    popular = sorted(counts, key=lambda item: (-counts[item], int(item)))
    hits = 0
    for *seen, target in histories:
        unseen = (item for item in popular if item not in seen)
        hits += target in itertools.islice(unseen, 10)
    metrics, warm = results["models"][0]["metrics"]["recall@10"], results["models"][0]["warm"]["recall@10"]
    assert (metrics["value"], metrics["n"]) == (pytest.approx(hits / 22_363), 22_363)
    assert (warm["value"], warm["n"]) == (pytest.approx(hits / 22_225), 22_225)
    assert results["protocol"]["targets_unknown"] == 138
    assert results["notes"] == ["popular_recent is left out: the log has no times."]


@pytest.mark.slow
def test_a_run_may_be_called_like_a_baseline_or_be_here(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "mix", tmp_path / "popular")
    monkeypatch.chdir(tmp_path / "popular")
    settings = {"data": folder / "loo", "baselines": ("popular",), "ks": (10,), "indexes": (), "samples": 0}
    results = evaluate.run(evaluate.Config(out=tmp_path / "report", runs=(Path(),), **settings))
    names = [one["name"] for one in results["models"]]
    assert names == ["popular", "popular (no run)"]
    line = next(line for line in results["comparisons"] if line["metric"] == "ndcg@10")
    assert [line["model"], line["against"]] == names
    run, baseline = (model(results, name)["metrics"]["ndcg@10"]["value"] for name in names)
    assert line["difference"] == pytest.approx(run - baseline)
    assert run != baseline


def test_sampled_users_are_counted(folder, tmp_path):
    config = evaluate.Config(
        data=folder / "loo", out=tmp_path, baselines=("markov",), ks=(3,), indexes=(), users=50, samples=0
    )
    results = evaluate.run(config)
    assert results["protocol"]["users"] == 50
    assert results["skipped"]["not drawn (--users)"] == 150
    assert "50 users" in results["protocol"]["line"]


def test_ks_beyond_the_catalogue_are_cut_with_a_note(folder, tmp_path, capsys):
    config = evaluate.Config(data=folder / "loo", out=tmp_path, baselines=("popular",), ks=(5, 61, 99), samples=0)
    results = evaluate.run(config)
    assert results["ks"] == [5, 60]
    assert results["notes"] == ["k = 61, 99 cut to the catalogue's 60 items."]
    assert "cut to the catalogue" in capsys.readouterr().out


def test_the_terminal_tells_of_skipped_users_and_seen_targets(folder, tmp_path, capsys):
    config = evaluate.Config(data=folder / "loo", out=tmp_path, baselines=("popular",), ks=(10,), users=50, samples=0)
    results = evaluate.run(config)
    printed = capsys.readouterr().out
    assert "users skipped: 150 not drawn (--users)." in printed
    n = results["protocol"]["targets_seen"]
    assert (f"{n:,} of 50 targets can never be hit" in printed) == (n > 0)


def test_a_run_of_another_task_adds_its_metrics(folder, tmp_path):
    (tmp_path / "din").mkdir()
    metrics = {"auc": 0.7, "log_loss": 0.5, "impressions": 90.0, "classes": []}
    write_json(tmp_path / "din" / "metrics.json", {"best": 0.7, "test": metrics}, sealed=True)
    config = evaluate.Config(
        data=folder / "loo", out=tmp_path / "out", runs=(tmp_path / "din",), baselines=("popular",), ks=(10,), samples=0
    )
    results = evaluate.run(config)
    numbers = {name: value for name, value in metrics.items() if name != "classes"}
    assert results["runs"] == [{"run": "din", "split": "test", "metrics": numbers}]
    assert [one["name"] for one in results["models"]] == ["popular"]
    assert "Click-through rate" in (tmp_path / "out" / "report.html").read_text()


def test_the_command_prints_tables_or_one_json_object(folder, tmp_path, capsys):
    call = ["evaluate", "--data", str(folder / "loo"), "--out", str(tmp_path), "--baselines", "popular", "--ks", "5"]
    assert cli.main([*call, "--samples", "10"]) == 0
    printed = capsys.readouterr()
    assert "Accuracy at k = 5" in printed.out
    assert str(tmp_path / "report.html") in printed.err
    assert cli.main([*call, "--samples", "10", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["models"][0]["name"] == "popular"
    assert "Accuracy at k = 5" in printed.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baselines": ("popluar",)}, "no baseline is called 'popluar'; did you mean 'popular'"),
        ({"runs": (Path("nowhere"),)}, "nowhere"),
        ({"indexes": ("HNWS32",), "runs": ("mix",)}, "HNWS32"),
        ({"data": "time", "runs": ("mix",)}, "trained on"),
        ({"runs": ("mix",), "indexes": ("Flat", "IVF64,Flat")}, "learns 64 centroids but there are only"),
        ({"data": "log"}, "not made by prepare"),
        ({"truth": "log/items.parquet"}, "no column 'user_id'"),
        ({"data": "time", "truth": "log/truth.parquet"}, "another log or split"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(folder, tmp_path, settings, message):
    settings = {"data": folder / "loo", "out": tmp_path / "report", "baselines": ("popular",), "ks": (5,)} | settings
    for key in ("data", "truth"):
        if isinstance(settings.get(key), str):
            settings[key] = folder / settings[key]
    settings["runs"] = tuple(folder / run if isinstance(run, str) else run for run in settings.get("runs", ()))
    with pytest.raises(InputError, match=message):
        evaluate.run(evaluate.Config(**settings))
    assert not (tmp_path / "report").exists()


def test_an_output_that_cannot_be_written_is_refused(folder, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write to .*file"):
        evaluate.run(evaluate.Config(data=folder / "loo", out=tmp_path / "file", baselines=("popular",), ks=(5,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baselines": ()}, "nothing to evaluate"),
        ({"baselines": ("popular", "markov", "popular")}, "baselines names popular twice"),
        ({"runs": (Path("a"), Path("b/../a"))}, "runs names .*a twice"),
        ({"ks": ()}, "≥ 1"),
        ({"ks": (0, 5)}, "≥ 1"),
        ({"level": 1.0}, "level"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        evaluate.Config(data=Path("data"), out=Path("out"), **settings)
