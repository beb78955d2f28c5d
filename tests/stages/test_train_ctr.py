"""train_ctr on data frames: the same model as from files, and settings as keywords."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.train_ctr import TrainCTRConfig, train_ctr

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
    p = model.predict(pl.DataFrame({"user": [1, 1], "device": ["phone", "desktop"], "price": [0.5, 0.5]}))
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
    expected = models[0].predict(frame).tolist()
    assert all(model.predict(frame).tolist() == expected for model in models)
    assert models[3].metrics == models[0].metrics
    names = {path.name for path in (tmp_path / "frame").iterdir()}
    assert names == {"checkpoints", "config.toml", "ctr", "data.json", "metrics.json", "metrics.jsonl"}
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
    assert models[0].predict(frame).tolist() == models[1].predict(frame).tolist()
    with pytest.raises(InputError, match="settings came twice"):
        train_ctr(frame, config=config, **SETTINGS)


def test_another_frame_does_not_resume_a_run(frame, tmp_path):
    train_ctr(frame, out=tmp_path / "run", **SETTINGS)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=r"impressions is not what .* was begun with"):
        train_ctr(frame.reverse(), out=tmp_path / "run", **SETTINGS)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("inputs", "settings", "message"),
    [
        ({}, {"model": {"head": "din"}}, "head 'din' reads the history"),
        ({}, {"columns": {"user": "user", "label": "clicked"}}, "needs columns.time"),
        ({}, {"columns": {"label": "clicked", "time": "time", "usr": "user"}}, "no setting is called 'columns.usr'"),
        ({}, {"columns": {"label": "click", "time": "time"}}, "has no column 'click'"),
        ({"test": {"a": [1]}}, {}, "test impressions need validation impressions"),
        ({"validation": {"a": [1]}}, {}, "columns.time is 'time', which nothing reads"),
        ({"validation": [1]}, {"columns": {"user": "user", "label": "clicked"}}, "validation is a list"),
    ],
)
def test_bad_input_is_refused(frame, tmp_path, inputs, settings, message):
    with pytest.raises(InputError, match=message):
        train_ctr(frame, out=tmp_path / "run", **inputs, **(SETTINGS | settings))
    assert not (tmp_path / "run").exists()
