"""Baselines of CTR models: against scikit-learn and counts by hand; shown beside the model."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.ctr.baselines import CTR_BASELINES
from recsys_bert.ctr.baselines.beside import build_baseline
from recsys_bert.ctr.baselines.ppmi_linear import PPMILinear
from recsys_bert.ctr.views import DIM, STRENGTHS
from recsys_bert.errors import InputError
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.static_embeddings.ppmi import ppmi_vectors
from recsys_bert.user_encoder.item_init import item_sequences

SETTINGS = {
    "columns": {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "rating >= 4"},
    "features": {"categorical": ["device"]},
    "model": {"head": "lr", "dim": 2, "history_len": 6},
    "train": {"epochs": 1, "batch_size": 64, "device": "cpu", "precision": "fp32"},
}


@pytest.fixture
def model(dataset, impressions):
    return train_ctr(impressions, dataset=dataset, baselines=list(CTR_BASELINES), **SETTINGS)


@pytest.fixture
def splits(model, impressions):
    rows = model.read(impressions, labelled=True)
    order = np.argsort(rows.times, kind="stable")
    parts = {"train": order[:320], "validation": order[320:360], "test": order[360:]}
    masks = {name: np.isin(np.arange(400), part) for name, part in parts.items()}
    return {name: model.encode(rows.where(mask)) for name, mask in masks.items()}


def test_ppmi_linear_is_logistic_regression_over_vectors_built_by_hand(splits, dataset):
    baseline = PPMILinear(dataset, 6)
    baseline.fit(splits["train"], splits["validation"])
    vectors = ppmi_vectors(item_sequences(dataset, TrainingEvents.of(dataset.histories)), DIM).astype(np.float64)

    def inputs(data):
        rows = []
        for target, start, stop in zip(data.targets, data.start, data.stop, strict=True):
            views = data.histories.items[max(start, stop - 6) : stop]
            mean = sum((vectors[item] for item in views if item < len(vectors)), np.zeros(DIM)) / max(len(views), 1)
            item = vectors[target] if target < len(vectors) else np.zeros(DIM)
            seen = dataset.vocabulary.counts[target] if target < len(vectors) else 0
            rows.append([*item, *mean, *(item * mean), item @ mean, np.log1p(seen), np.log1p(len(views))])
        return np.array(rows)

    scale = StandardScaler().fit(inputs(splits["train"]))
    best, expected = -1.0, None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000)
        model.fit(scale.transform(inputs(splits["train"])), splits["train"].labels)
        auc = roc_auc_score(
            splits["validation"].labels, model.decision_function(scale.transform(inputs(splits["validation"])))
        )
        if auc > best:
            best, expected = auc, model.predict_proba(scale.transform(inputs(splits["test"])))[:, 1]
    np.testing.assert_allclose(baseline.probabilities(splits["test"]), expected, atol=1e-4)


def test_popularity_is_logistic_regression_on_the_log_of_training_events(splits, dataset):
    baseline = build_baseline("popularity", dataset, 6)
    baseline.fit(splits["train"], splits["validation"])
    counts = dataset.vocabulary.counts

    def inputs(data):
        return np.array([[np.log1p(counts[row]) if row < len(counts) else 0.0] for row in data.targets])

    oracle = LogisticRegression().fit(inputs(splits["train"]), splits["train"].labels)
    expected = oracle.predict_proba(inputs(splits["test"]))[:, 1]
    np.testing.assert_allclose(baseline.probabilities(splits["test"]), expected, atol=1e-9)
    with pytest.raises(InputError, match="'popularity', which counts the training events of a prepared log"):
        build_baseline("popularity", None, 6)


def test_item_rates_lie_between_the_rate_of_the_item_and_that_of_all(splits, dataset):
    baseline = build_baseline("item_rate", dataset, 0)
    baseline.fit(splits["train"], splits["validation"])
    train = splits["train"]
    overall = train.labels.mean()
    for item, rate in zip(splits["test"].targets, baseline.probabilities(splits["test"]), strict=True):
        own = train.labels[train.targets == item]
        low, high = sorted([overall, own.mean() if len(own) else overall])
        assert low - 1e-9 <= rate <= high + 1e-9


def test_baselines_stand_beside_the_model_in_metrics_and_on_the_terminal(dataset, impressions, capsys):
    model = train_ctr(impressions, dataset=dataset, baselines=list(CTR_BASELINES), **SETTINGS)
    assert set(model.metrics["baselines"]) == set(CTR_BASELINES)
    auc = model.metrics["baselines"]["ppmi_linear"]["test"]["auc"]
    assert f"beside it ppmi_linear: AUC {auc:.4f}" in capsys.readouterr().err


def test_every_label_has_a_baseline_of_its_own(dataset, impressions):
    frame = pl.read_parquet(impressions).with_columns(
        tall=(pl.col("rating") >= 4).cast(pl.Float32),
        late=pl.when(pl.col("timestamp") % 7 > 0).then((pl.col("device") == "phone").cast(pl.Float32)),
    )
    columns = {"user": "user_id", "item": "item_id", "time": "timestamp", "labels": ["tall", "late"]}
    model = train_ctr(frame, dataset=dataset, baselines=["ppmi_linear"], **(SETTINGS | {"columns": columns}))
    metrics = model.metrics["baselines"]["ppmi_linear"]["test"]
    assert metrics["auc"] == pytest.approx((metrics["tall.auc"] + metrics["late.auc"]) / 2)


def test_a_baseline_that_lacks_what_it_reads_is_refused(impressions, tmp_path):
    settings = SETTINGS | {"model": {"head": "lr"}}
    settings["columns"] = {name: value for name, value in settings["columns"].items() if name != "item"}
    with pytest.raises(InputError, match="'ppmi_linear', which reads histories of a prepared log"):
        train_ctr(impressions, baselines=["ppmi_linear"], out=tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "config.toml").exists()


def test_an_unknown_baseline_is_refused_with_the_nearest_name(impressions):
    with pytest.raises(InputError, match="did you mean 'ppmi_linear'"):
        train_ctr(impressions, baselines=["ppmi_liner"], **SETTINGS)
