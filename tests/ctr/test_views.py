"""The linear part over views: logistic regression beside a head, held while the head trains."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_bert.ctr.baselines.ppmi_linear import PPMILinear
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.errors import InputError
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.train_ctr import train_ctr

SETTINGS = {
    "columns": {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "rating >= 4"},
    "features": {"categorical": ["device"]},
    "train": {"epochs": 2, "batch_size": 64, "lr": 0.01, "device": "cpu", "precision": "fp32"},
}
MODEL = {"head": "mlp", "dim": 4, "history_len": 6, "wide": "ppmi"}


@pytest.fixture
def model(dataset, impressions, tmp_path):
    return train_ctr(impressions, dataset=dataset, model=MODEL, out=tmp_path / "run", **SETTINGS)


def test_logits_are_those_of_the_baseline_and_of_the_head(model, dataset, impressions):
    data = model.encode(model.read(impressions, labelled=True))
    batch = {name: torch.from_numpy(array) for name, array in data.batch(slice(None), 6).items()}
    times = model.read(impressions).times
    late = [dataset.manifest.split[name] for name in ("validation_from", "test_from")]
    rows = model.read(impressions, labelled=True)
    parts = [model.encode(rows.where(mask)) for mask in (times < late[0], (times >= late[0]) & (times < late[1]))]
    baseline = PPMILinear(dataset, 6)
    baseline.fit(*parts)
    p = baseline.probabilities(data)
    with torch.no_grad():
        together = model.module(batch)
        wide, model.module.wide = model.module.wide, None
        head = model.module(batch)
        model.module.wide = wide
    torch.testing.assert_close(together - head, torch.from_numpy(np.log(p / (1 - p))).float(), atol=1e-3, rtol=1e-3)
    assert head.std() > 1e-3  # the head has learned something beside it


def test_a_saved_model_scores_as_before(model, impressions, tmp_path):
    loaded = CTRModel.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.probabilities(impressions), model.probabilities(impressions))
    assert "beside linear ppmi" in repr(loaded)


def test_cached_histories_of_a_frozen_encoder_leave_all_views_to_the_linear_part(dataset, impressions, tmp_path):
    encoder = {"dim": 8, "n_layers": 1, "n_heads": 2, "max_len": 10}
    pretrain(dataset, encoder=encoder, train=SETTINGS["train"], out=tmp_path / "encoder")
    model = train_ctr(impressions, dataset=dataset, model=MODEL | {"encoder": tmp_path / "encoder"}, **SETTINGS)
    plain = model.encode(model.read(impressions))
    cached = replace(plain, pooled=np.zeros((len(plain), 8), np.float32))
    rows = slice(0, 50)
    assert cached.batch(rows, 6)["history"].shape[1] == 1
    np.testing.assert_array_equal(cached.batch(rows, 6)["views"], plain.batch(rows, 6)["views"])


def test_several_labels_have_a_linear_part_each(dataset, impressions):
    frame = pl.read_parquet(impressions).with_columns(tall=pl.col("rating") >= 4, phone=pl.col("device") == "phone")
    columns = {"user": "user_id", "item": "item_id", "time": "timestamp", "labels": ["tall", "phone"]}
    model = train_ctr(frame, dataset=dataset, model=MODEL, **(SETTINGS | {"columns": columns}))
    weight = model.module.wide.weight
    assert weight.shape[0] == 2
    assert not torch.equal(weight[0], weight[1])


@pytest.mark.parametrize(("change", "message"), [({"history_len": 0}, "history_len is 0"), ({}, "of a prepared log")])
def test_a_linear_part_without_views_is_refused(dataset, impressions, change, message):
    with pytest.raises(InputError, match=message):
        train_ctr(impressions, dataset=dataset if change else None, model={"wide": "ppmi"} | change, **SETTINGS)
