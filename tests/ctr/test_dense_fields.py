"""Numbers and vectors of a prepared log as fields of a CTR model."""

import numpy as np
import polars as pl
import pytest
import torch

import recsys_bert as rb
from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig

COLUMNS = {"user": "user", "item": "item", "time": "time", "label": "label"}
SETTINGS = {
    "columns": COLUMNS,
    "features": {"categorical": ["device"]},
    "model": {"head": "mlp", "dim": 4, "history_len": 3, "head_options": {"hidden": [8]}},
    "train": {"epochs": 8, "batch_size": 64, "lr": 0.02, "device": "cpu"},
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    random = np.random.default_rng(0)
    n = 300
    events = pl.DataFrame(
        {
            "user_id": random.integers(0, 20, n),
            "item_id": random.integers(0, 15, n),
            "timestamp": 1_000_000 + np.sort(random.integers(0, 600, n)),
        }
    )
    items = pl.DataFrame(
        {
            "item_id": range(18),
            "price": [None if i == 4 else float(i) for i in range(18)],
            "emb": [[np.cos(i), np.sin(i), i % 2] for i in range(18)],
        }
    )
    users = pl.DataFrame({"user_id": range(20), "income": [float(u) for u in range(20)]})
    return rb.prepare(
        events,
        items=items,
        users=users,
        item_features={"numeric": ["price"], "vectors": ["emb"]},
        user_features={"numeric": ["income"]},
        split={"kind": "time"},
        out=tmp_path_factory.mktemp("log") / "data",
    )


@pytest.fixture(scope="module")
def impressions():
    """Users 20 and 21 are not in the log; the click follows from the item's price and the user's income."""
    random = np.random.default_rng(1)
    n = 800
    user, item = random.integers(0, 22, n), random.integers(0, 18, n)
    label = (item > 8) ^ (user > 10)
    time, device = 1_000_000 + np.sort(random.integers(0, 600, n)), random.choice(["phone", "tv"], n)
    return pl.DataFrame({"user": user, "item": item, "time": time, "device": device, "label": label.astype(int)})


@pytest.fixture(scope="module")
def model(log, impressions):
    return rb.train_ctr(impressions, dataset=log, **SETTINGS)


def test_fields_come_after_the_others_with_the_log_s_numbers(model, log, impressions):
    assert model.fields[-4:] == ["device", "item.price", "item.emb", "user.income"]
    data = model.encode(model.read(impressions))
    batch = data.batch(np.arange(60), 3)
    for row in range(60):
        item, user = impressions["item"][row], impressions["user"][row]
        at = int(log.rows([item])[0])
        for name in ("price", "emb"):
            np.testing.assert_array_equal(batch[f"dense.item.{name}"][row], log.item_dense[name].values[at])
        income = log.user_dense["income"].values[user] if user < 20 else np.zeros(1)
        np.testing.assert_array_equal(batch["dense.user.income"][row], income)
    assert not batch["dense.item.price"][(impressions["item"][:60] == 4).to_numpy()].any()


def test_the_model_learns_from_numbers_alone(model):
    assert model.metrics["validation"]["auc"] > 0.9  # an interaction of price and income; the device says nothing


def test_a_saved_model_scores_the_same(model, impressions, log, tmp_path):
    model.save(tmp_path)
    loaded = rb.CTRModel.load(tmp_path, log)
    np.testing.assert_array_equal(model.probabilities(impressions), loaded.probabilities(impressions))
    assert not any("dense" in name for name in model.module.state_dict())


def test_sides_can_be_left_out(log, impressions):
    features = {"categorical": ["device"], "item_side": False}
    train = {**SETTINGS["train"], "epochs": 1}
    model = rb.train_ctr(impressions, dataset=log, **{**SETTINGS, "features": features, "train": train})
    assert model.fields[-2:] == ["device", "user.income"]


@pytest.mark.parametrize("head", ["fm", "dcn_v2", "mlp"])
def test_zeros_add_a_field_of_zeros(head):
    table = (Field("device", "categorical", 4),)
    torch.manual_seed(0)
    module = CTRModule(Layout((*table, Field("item.emb", "dense", 0, 3))), CTRModelConfig(head=head, dim=4)).eval()
    ids, numbers = torch.tensor([[1], [2]]), torch.zeros(2, 0)
    seen = []
    module.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module({"ids": ids, "numbers": numbers, "dense.item.emb": torch.zeros(2, 3)})
    torch.testing.assert_close(seen[0][:, 0], module.table(ids)[:, 0])
    assert not seen[0][:, 1].any()
    module({"ids": ids, "numbers": numbers, "dense.item.emb": torch.ones(2, 3)})
    assert seen[1][:, 1].any()


def test_a_model_goes_on_with_a_grown_log(model, log, impressions, tmp_path):
    today = pl.DataFrame(
        [(0, 30, 1_000_700), (21, 30, 1_000_701)], schema=["user_id", "item_id", "timestamp"], orient="row"
    )
    arrived = pl.DataFrame({"item_id": [30], "price": [3.0], "emb": [[0.0, 1.0, 0.5]]})
    grown = rb.append(log, today, items=arrived, out=tmp_path / "grown")
    again = rb.train_ctr(impressions, dataset=grown, init=model, train={**SETTINGS["train"], "epochs": 1})
    assert again.fields == model.fields
    assert np.isfinite(again.probabilities(impressions)).all()


def test_impressions_with_a_label_of_one_task_keep_their_numbers(log, impressions):
    late = impressions.with_columns(late=pl.when(pl.col("item") % 3 > 0).then(pl.col("label")))
    columns = {name: value for name, value in COLUMNS.items() if name != "label"} | {"labels": ["label", "late"]}
    train = SETTINGS["train"] | {"epochs": 1}
    model = rb.train_ctr(late, dataset=log, **(SETTINGS | {"columns": columns, "train": train}))
    data = model.encode(model.read(late, labelled=True))
    known = np.flatnonzero(late["late"].is_not_null())
    part, whole = data.of_task(1).batch(slice(None), 3), data.batch(known, 3)
    np.testing.assert_array_equal(part.pop("label"), whole.pop("label")[:, 1])
    assert set(part) == set(whole) > {"dense.item.price", "dense.item.emb", "dense.user.income"}
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name])
