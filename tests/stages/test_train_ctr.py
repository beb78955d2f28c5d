"""train_ctr on data frames: the same model as from files, and settings as keywords."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.stages.train_ctr_config import TrainCTRConfig

SETTINGS = {
    "columns": {"user": "user", "time": "time", "label": "clicked"},
    "features": {"categorical": ["device"], "numeric": ["price"]},
    "model": {"head": "lr", "dim": 2, "init_std": 0.1},
    "train": {"epochs": 4, "batch_size": 64, "lr": 0.05, "device": "cpu", "precision": "fp32"},
}


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    n = 400
    device = random.choice(["phone", "desktop"], n)
    clicked = (device == "phone") ^ (random.random(n) < 0.1)
    columns = {"user": random.integers(0, 9, n), "time": np.arange(n), "device": device, "clicked": clicked}
    return pl.DataFrame({**columns, "price": random.random(n)})


def test_a_frame_trains_a_model_that_learns(frame):
    model = train_ctr(frame, **SETTINGS)
    assert model.metrics["test"]["auc"] > 0.8
    p = model.probabilities(pl.DataFrame({"user": [1, 1], "device": ["phone", "desktop"], "price": [0.5, 0.5]}))
    assert p[0] > 0.5 > p[1]
    assert model.metrics["impressions"] == {"train": 320, "validation": 40, "test": 40}


def test_frames_and_files_give_the_same_run(frame, tmp_path):
    frame.write_parquet(tmp_path / "all.parquet")
    models = [
        train_ctr(frame, out=tmp_path / "frame", **SETTINGS),
        train_ctr(frame.to_pandas(), **SETTINGS),
        train_ctr(tmp_path / "all.parquet", out=str(tmp_path / "file"), **SETTINGS),
    ]
    models += [CTRModel.load(tmp_path / name) for name in ("frame", "file")]
    expected = models[0].probabilities(frame).tolist()
    assert all(model.probabilities(frame).tolist() == expected for model in models)
    assert models[3].metrics == models[0].metrics
    names = {path.name for path in (tmp_path / "frame").iterdir()}
    written = {"checkpoints", "checksums.sha256", "config.toml", "ctr", "data.json", "metrics.json", "metrics.jsonl"}
    assert names == written
    assert names == {path.name for path in (tmp_path / "file").iterdir()}


def test_validation_and_test_frames_are_taken_as_they_are(frame):
    settings = SETTINGS | {"columns": {"user": "user", "label": "clicked"}}
    model = train_ctr(frame[:300], validation=frame[300:350].to_arrow(), test=frame[350:], **settings)
    assert model.metrics["impressions"] == {"train": 300, "validation": 50, "test": 50}
    assert model.evaluate(frame[350:]) == model.metrics["test"]
    without_test = train_ctr(frame[:300], validation=frame[300:350], **settings)
    assert "test" not in without_test.metrics


def test_a_config_object_is_the_same_as_keywords(frame):
    config = make_config(TrainCTRConfig, None, SETTINGS)
    models = [train_ctr(frame, config=config), train_ctr(frame, **SETTINGS)]
    assert models[0].probabilities(frame).tolist() == models[1].probabilities(frame).tolist()
    with pytest.raises(InputError, match="settings came twice"):
        train_ctr(frame, config=config, **SETTINGS)


def test_another_frame_does_not_resume_a_run(frame, tmp_path):
    train_ctr(frame, out=tmp_path / "run", **SETTINGS)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=r"impressions is not what .* was begun with"):
        train_ctr(frame.reverse(), out=tmp_path / "run", **SETTINGS)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


TASKS = ("click", "like", "buy")
MULTI = SETTINGS | {
    "columns": {"user": "user", "time": "time", "labels": TASKS},
    "model": {"head": "mlp", "head_options": {"hidden": [8]}, "dim": 4, "init_std": 0.1, "multi_task": "esmm"},
}


@pytest.fixture(scope="module")
def tasks(frame):
    """Clicks by device, likes by price among them, purchases among those; some labels are missing."""
    random = np.random.default_rng(1)
    click = frame["clicked"].to_numpy()
    like = click & (frame["price"].to_numpy() > 0.3)
    labels = {"click": click, "like": like, "buy": like & (random.random(len(frame)) < 0.6)}
    missing = {name: random.random(len(frame)) < share for name, share in zip(TASKS, (0.05, 0.1, 0.2), strict=True)}
    columns = {
        name: pl.Series(label.astype(int)).zip_with(
            pl.Series(~missing[name]), pl.Series([None] * len(frame), dtype=int)
        )
        for name, label in labels.items()
    }
    return frame.with_columns(**columns)


def test_several_labels_train_one_model_with_a_task_each(tasks, tmp_path):
    model = train_ctr(tasks, out=tmp_path / "run", **MULTI)
    test = model.metrics["test"]
    assert min(test[f"{task}.auc"] for task in TASKS) > 0.7
    assert test["auc"] == pytest.approx(np.mean([test[f"{task}.auc"] for task in TASKS]))
    cut = tasks[360:]
    known = cut.filter(pl.col("buy").is_not_null())
    assert model.metrics["counts"]["test"]["buy: no label"] == len(cut) - len(known) == 40 - test["buy.impressions"] > 0
    again = CTRModel.load(tmp_path / "run")
    assert again.tasks == TASKS
    p = again.probabilities(cut)
    predictions = again.predict(cut)
    assert predictions.columns == ["user", "time", "device", "price", *(f"{task}_probability" for task in TASKS)]
    np.testing.assert_array_equal(predictions[:, 4:].to_numpy(), p)
    assert p.shape == (40, 3)
    assert roc_auc_score(known["buy"], p[cut["buy"].is_not_null().to_numpy(), 2]) == pytest.approx(test["buy.auc"])
    assert (p[:, 1:] <= p[:, :-1]).all()  # ESMM's chain
    assert repr(again).splitlines()[0].startswith("CTRModel: esmm for click, like, buy on head mlp, 3 fields")
    assert "\n  test buy: AUC 0." in repr(again)
    assert again.evaluate(cut) == test


def test_the_epoch_is_that_of_the_best_mean_or_of_the_named_task(tasks, tmp_path):
    for monitor, best in (("auc", max), ("buy.auc", max), ("click.log_loss", min)):
        settings = MULTI | {"train": MULTI["train"] | {"monitor": monitor}}
        model = train_ctr(tasks, out=tmp_path / monitor, **settings)
        lines = [json.loads(line) for line in (tmp_path / monitor / "metrics.jsonl").read_text().splitlines()]
        assert best(line[monitor] for line in lines if monitor in line) == model.metrics["validation"][monitor]


def test_labels_out_of_their_chain_are_refused(tasks):
    reverse = MULTI | {"columns": MULTI["columns"] | {"labels": TASKS[::-1]}}
    with pytest.raises(InputError, match=r"impressions of train have 'like' without 'buy'; in model.multi_task 'esmm'"):
        train_ctr(tasks, **reverse)
    model = train_ctr(tasks, **(reverse | {"model": MULTI["model"] | {"multi_task": "mmoe"}}))
    assert model.tasks == TASKS[::-1]


@pytest.mark.parametrize(
    ("columns", "model", "message"),
    [
        ({"labels": ["click"]}, {}, "a single label is columns.label"),
        ({"labels": ["click", "click"]}, {}, "each label is named once"),
        ({"labels": ["click", "buy"], "label": "like"}, {}, "set one of them"),
        ({"labels": ["click", "price"]}, {}, "'price' gives the label"),
        ({"label": "click"}, {"multi_task": "ple"}, "model.multi_task is 'ple', but there is one label"),
        ({"label": "click"}, {"task_weights": {"click": 2.0}}, "model.task_weights is .* but there is one label"),
        ({"labels": ["click", "buy"]}, {"task_weights": {"by": 2.0}}, "did you mean 'buy'"),
        ({"labels": ["click", "buy"]}, {"task_weights": {"buy": 0.0}}, "a weight is above 0"),
        ({"labels": ["click", "buy"]}, {"multi_task": "pel"}, "did you mean 'ple'"),
        ({"labels": ["click", "nothing"]}, {}, "all 320 impressions of train are non-clicks by 'nothing'"),
        ({"labels": ["click", "unknown"]}, {}, "all 320 impressions of train are without a label by 'unknown'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tasks, tmp_path, columns, model, message):
    none = pl.Series([None] * len(tasks), dtype=pl.Int64)
    frame = tasks.with_columns(click=pl.col("clicked"), nothing=pl.lit(0), unknown=none)
    settings = SETTINGS | {"columns": {"user": "user", "time": "time"} | columns}
    settings["model"] = SETTINGS["model"] | model
    with pytest.raises(InputError, match=message):
        train_ctr(frame, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        ({}, {"model": {"head": "din"}}, "head 'din' reads the history"),
        ({}, {"columns": {"user": "user", "label": "clicked"}}, "needs columns.time"),
        ({}, {"columns": {"label": "clicked", "time": "time", "usr": "user"}}, "no setting is called 'columns.usr'"),
        ({}, {"columns": {"label": "click", "time": "time"}}, "has no column 'click'"),
        ({}, {"train": {"monitor": "ndcg@10"}}, "train.monitor is 'ndcg@10'; this training validates auc, gauc"),
        ({}, {"columns": {"time": "time", "label": "clicked"}, "train": {"monitor": "gauc"}}, "names no column"),
        ({"test": {"a": [1]}}, {}, "test impressions need validation impressions"),
        ({"validation": {"a": [1]}}, {}, "columns.time is 'time', which nothing reads"),
        ({"validation": [1]}, {"columns": {"user": "user", "label": "clicked"}}, "validation is a list"),
    ],
)
def test_bad_input_is_refused(frame, tmp_path, inputs, settings, message):
    with pytest.raises(InputError, match=message):
        train_ctr(frame, out=tmp_path / "run", **inputs, **(SETTINGS | settings))
    assert not (tmp_path / "run").exists()
