"""compare from Python: any training function with a config, on its own data."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.retrieval.baselines.markov import Markov
from recsys_bert.retrieval.baselines.popular import Popular
from recsys_bert.stages.compare import CompareConfig, compare
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.run_folder import begin


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """A nested config."""

    kind: str = "popular"
    """Which baseline."""

    size: int = 1
    """No effect."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"size is {self.size}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Settings of ``fit``."""

    part: PartConfig = field(default_factory=PartConfig)
    """The model."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(monitor="ndcg@10"))
    """Of which the seed and the monitor count."""


def fit(dataset, *, out: Path, config: FitConfig | None = None, **settings):
    """A stage that counts instead of training."""
    with begin(out, config):
        pass
    lines = [{"step": n, "epoch": n, "ndcg@10": n / 10, "seconds": 1.0 * n} for n in (1, 2)]
    (out / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    model = {"popular": Popular, "markov": Markov}[config.part.kind]().fit(dataset)
    model.metrics = {"parameters": 7, "epochs": 2, "best_epoch": 2, "seconds": 2.0}
    return model


GRID = {"part.kind": ["popular", "markov"], "part.size": 3}


@pytest.mark.slow
def test_configurations_are_compared_by_the_metrics_of_evaluate(side_log, tmp_path):
    comparison = compare(fit, side_log, grid=GRID, seeds=2, out=tmp_path / "out")
    evaluation = evaluate([], side_log, baselines=("popular", "markov"), ks=(10,), indexes=(), samples=0)
    expected = dict(evaluation.table.select("model", "ndcg@10").iter_rows())
    table = comparison.table
    assert table["configuration"].to_list() == ["kind=popular", "kind=markov"]
    assert table["ndcg@10"].to_list() == [pytest.approx(expected[name]) for name in ("popular", "markov")]
    assert table["ndcg@10_std"].to_list() == [0.0, 0.0]
    assert table["difference"].to_list() == [None, pytest.approx(expected["markov"] - expected["popular"])]
    assert table["seeds"].to_list() == [2, 2]
    for line in evaluation.by_training_events.filter(pl.col("n_targets") > 0).iter_rows(named=True):
        metrics = comparison.results["configurations"][["popular", "markov"].index(line["model"])]["metrics"]
        name = f"recall@10 of {line['group']} ({line['predictions']:,})"
        assert metrics[name]["mean"] == pytest.approx(line["recall@10"])
    assert read_json(tmp_path / "out" / "compare.json") == comparison.results
    assert (tmp_path / "out" / "runs" / "kind=markov" / "seed-1" / "test.npz").exists()
    assert "Highest mean ndcg@10" in str(comparison)
    assert "<table>" in comparison._repr_html_()


def test_finished_runs_are_taken(side_log, tmp_path, capsys):
    first = compare(fit, side_log, grid=GRID, seeds=1, out=tmp_path / "out")
    capsys.readouterr()
    again = compare(fit, side_log, grid=GRID, out=tmp_path / "out", config=CompareConfig(seeds=1))
    assert "2 of 2 runs are there already" in capsys.readouterr().err
    assert again.results["configurations"] == first.results["configurations"]


def test_metrics_of_any_kind_are_compared_by_example(side_log):
    def even(model):
        return {"even": np.arange(40) % 2 == 0 if isinstance(model, Markov) else np.zeros(40)}

    comparison = compare(fit, side_log, grid=GRID, seeds=1, evaluate=even)
    assert comparison.results["metric"] == "even"
    assert comparison.table["even"].to_list() == [0.0, 0.5]
    folder = Path(comparison.results["configurations"][0]["folder"])
    assert folder.is_dir()
    del comparison
    assert not folder.exists()


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"part.kindd": ["popular"]}, "no setting is called 'part.kindd'; did you mean 'part.kind'"),
        ({"part.size": [0, 1]}, "size=0: size is 0; it must be at least 1"),
        ({"part.kind": []}, "give at least one value"),
        ({"train.seed": [1]}, "train.seed cannot be in the grid"),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused(side_log, tmp_path, grid, message):
    with pytest.raises(InputError, match=message):
        compare(fit, side_log, grid=grid, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_function_without_a_config_is_refused(side_log):
    with pytest.raises(InputError, match="no parameter config with a config dataclass as its type"):
        compare(lambda dataset, out: None, side_log, grid={})
