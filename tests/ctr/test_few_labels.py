"""Few labels, many views: a share of the impressions, and item vectors that start from the log's events."""

import numpy as np
import pytest
import torch

from recsys_bert.ctr import splits
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.errors import InputError
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.user_encoder.item_init import init_table

SETTINGS = {
    "columns": {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "rating >= 4"},
    "features": {"ids": ["item"]},
    "train": {"epochs": 1, "batch_size": 64, "lr": 1e-8, "device": "cpu", "precision": "fp32"},
}
MODEL = {"head": "din", "dim": 4, "history_len": 6}


def test_items_start_from_the_events_of_the_log_and_stay_so_on_disk(dataset, impressions, tmp_path):
    models = {
        init: train_ctr(
            impressions, dataset=dataset, out=tmp_path / init, model=MODEL | {"item_init": init}, **SETTINGS
        )
        for init in ("random", "ppmi")
    }
    tables = {init: model.module.reader.items.weight.detach().clone() for init, model in models.items()}
    expected = tables["random"].clone()
    init_table(expected, dataset, "ppmi", 0.01)
    torch.testing.assert_close(tables["ppmi"], expected, atol=1e-5, rtol=0)  # the tiny rate hardly moves them
    assert not torch.equal(tables["random"], tables["ppmi"])
    loaded = CTRModel.load(tmp_path / "ppmi")
    assert torch.equal(loaded.module.reader.items.weight, models["ppmi"].module.reader.items.weight)
    assert "started from ppmi" in repr(loaded)


@pytest.mark.parametrize(
    ("model", "has_log", "message"),
    [
        ({"item_init": "ppmi", "history_len": 0}, True, "model.history_len is 0"),
        ({"item_init": "ppmi", "encoder": "elsewhere"}, True, "items are those of model.encoder"),
        ({"item_init": "ppmi"}, False, "reads the training events of a prepared log"),
    ],
)
def test_a_start_that_nothing_reads_is_refused(dataset, impressions, model, has_log, message):
    with pytest.raises(InputError, match=message):
        train_ctr(impressions, dataset=dataset if has_log else None, model=model, **SETTINGS)


def test_a_share_of_the_impressions_is_drawn_by_the_seed(dataset, impressions, capsys):
    def train(**settings):
        train = SETTINGS["train"] | settings.pop("train", {})
        model = train_ctr(impressions, dataset=dataset, model=MODEL, **(SETTINGS | {"train": train} | settings))
        return model.metrics["impressions"]["train"], model.features.values["item_id"].sort().to_list()

    n, items = train()
    few, some = train(train_fraction=0.05)
    assert few == round(0.05 * n)
    assert set(some) < set(items)  # values are those of the drawn impressions alone
    assert f"training on {few} of {n} impressions" in capsys.readouterr().err
    assert train(train_fraction=0.05) == (few, some)
    assert train(train_fraction=0.05, train={"seed": 1})[1] != some


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, np.nan])
def test_a_share_outside_its_range_is_refused(impressions, fraction):
    with pytest.raises(InputError, match=r"it must lie in \(0, 1\]"):
        train_ctr(impressions, train_fraction=fraction, **SETTINGS)


def test_a_share_with_one_class_alone_is_refused(dataset, impressions):
    with pytest.raises(InputError, match="both classes are needed"):
        train_ctr(impressions, dataset=dataset, model=MODEL, train_fraction=0.002, **SETTINGS)


def test_a_file_of_impressions_is_read_once(dataset, impressions, monkeypatch):
    calls, read = [], splits.read_impressions
    monkeypatch.setattr(splits, "read_impressions", lambda *args, **kwargs: calls.append(args) or read(*args, **kwargs))
    pretrain = {"objective": "masked_feature", "epochs": 1}
    columns = {"features": {"ids": ["item", "user"]}}
    train_ctr(impressions, dataset=dataset, model=MODEL, pretrain=pretrain, train_fraction=0.5, **(SETTINGS | columns))
    assert len(calls) == 1
