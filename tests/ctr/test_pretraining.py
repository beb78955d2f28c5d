"""Pretraining on fields: what is hidden, what the losses are, and that it helps where labels are few."""

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.objectives import CTR_OBJECTIVES
from recsys_bert.ctr.objectives.columns import Columns, FieldValues
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError
from recsys_bert.stages.train_ctr import train_ctr

SIZES = (8, 6, 7)


@pytest.fixture
def parts():
    torch.manual_seed(0)
    layout = Layout(tuple(Field(f"f{n}", "categorical", size) for n, size in enumerate(SIZES)))
    config = CTRModelConfig(head="mlp", head_options={"hidden": [8]}, dim=4, init_std=0.5).resolved(False)
    module = CTRModule(layout, config)
    random = np.random.default_rng(0)
    ids = np.stack(
        [offset + 2 + random.integers(0, size - 2, 40) for offset, size in zip(layout.offsets, SIZES, strict=True)], 1
    )
    counts = np.bincount(ids.ravel(), minlength=layout.n_values)
    return module, Columns.of(layout), counts, ids.astype(np.int32)


def built(name, parts, **options):
    module, columns, counts, _ = parts
    return build("CTR objective", name, CTR_OBJECTIVES, module, columns, counts, options=options)


def tensors(ids, batch):
    return {key: torch.from_numpy(value) for key, value in batch.items()} | {"numbers": torch.zeros(len(ids), 0)}


@pytest.mark.parametrize("name", CTR_OBJECTIVES)
def test_every_parameter_that_the_head_reads_gets_a_gradient(name, parts):
    objective, ids = built(name, parts), parts[3]
    objective(tensors(ids, objective.make(ids, np.random.default_rng(1)))).backward()
    idle = {key for key, value in objective.named_parameters() if value.grad is None or not value.grad.abs().sum()}
    assert all("head.out" in key for key in idle)  # labels train the output


@pytest.mark.parametrize("name", CTR_OBJECTIVES)
def test_the_same_seed_hides_the_same(name, parts):
    objective, ids = built(name, parts), parts[3]
    one, other = (objective.make(ids, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert not np.array_equal(one["ids"], ids)


def test_masked_values_are_told_from_values_of_their_field(parts):
    objective, ids = built("masked_feature", parts, mask_prob=0.4, negatives=5), parts[3]
    batch, columns = objective.make(ids, np.random.default_rng(1)), parts[1]
    hidden = np.zeros(ids.shape, bool)
    hidden[batch["row"], batch["column"]] = True
    assert hidden.any(1).all()
    np.testing.assert_array_equal(batch["ids"][~hidden], ids[~hidden])
    np.testing.assert_array_equal(batch["ids"][hidden], columns.first[batch["column"]])
    np.testing.assert_array_equal(batch["candidates"][:, 0], ids[hidden])
    first = columns.first[batch["column"]][:, None]
    assert (
        (batch["candidates"] >= first + 2) & (batch["candidates"] < first + columns.size[batch["column"]][:, None])
    ).all()
    loss = objective(tensors(ids, batch))
    queries, table, total = objective.body(tensors(ids, batch)), parts[0].table.weight, 0.0
    for row, column, (value, *noise) in zip(batch["row"], batch["column"], batch["candidates"].tolist(), strict=True):
        query = queries[row, column]
        total -= F.logsigmoid(query @ table[value])
        total -= sum(F.logsigmoid(-query @ table[other]) for other in noise if other != value)
    torch.testing.assert_close(loss, total / len(batch["row"]))


def test_replaced_values_are_of_their_field_and_a_draw_of_the_same_is_none(parts):
    objective, ids = built("replaced_feature", parts, replace_prob=0.5, power=1.0), parts[3]
    batch = objective.make(ids, np.random.default_rng(1))
    np.testing.assert_array_equal(batch["replaced"] == 1, batch["ids"] != ids)
    assert 0.2 < batch["replaced"].mean() < 0.5
    assert (parts[2][batch["ids"]] > 0).all()  # only values that training has
    expected = F.binary_cross_entropy_with_logits(
        objective.body(tensors(ids, batch))[:, :, 0], torch.from_numpy(batch["replaced"])
    )
    torch.testing.assert_close(objective(tensors(ids, batch)), expected)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_values_are_drawn_as_numpy_draws_them(power, parts):
    _, columns, counts, _ = parts
    number = np.random.default_rng(2).integers(0, len(columns), (30, 4))
    rows, random = FieldValues(columns, counts, power).draw(number, np.random.default_rng(7)), np.random.default_rng(7)
    for one, (first, size) in enumerate(zip(columns.first, columns.size, strict=True)):
        n = counts[first : first + size]
        weights = np.where(n > 0, n.astype(float) ** power, 0)
        expected = first + random.choice(size, (number == one).sum(), p=weights / weights.sum())
        np.testing.assert_array_equal(rows[number == one], expected)


@pytest.mark.parametrize(
    ("name", "options"), [("masked_feature", {"mask_prob": 1.0}), ("replaced_feature", {"power": 2.0})]
)
def test_bad_options_are_refused(name, options, parts):
    with pytest.raises(InputError, match=name):
        built(name, parts, **options)


@pytest.fixture(scope="module")
def frame():
    """Two fields name the same hidden group; a click follows from the group."""
    random = np.random.default_rng(0)
    n = 4000
    group = random.integers(0, 2, n)
    device = 2 * random.integers(0, 10, n) + group
    page = 2 * random.integers(0, 10, n) + group
    label = (group == 1) ^ (random.random(n) < 0.1)
    return pl.DataFrame({"device": device, "page": page, "time": np.arange(n), "label": label})


SETTINGS = {
    "columns": {"time": "time"},
    "features": {"categorical": ["device", "page"]},
    "model": {"head": "mlp", "head_options": {"hidden": [8]}, "dim": 4, "init_std": 0.1},
    "train": {"epochs": 4, "batch_size": 32, "lr": 0.01, "device": "cpu", "precision": "fp32"},
    "train_fraction": 0.01,
}


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        ("masked_feature", {"epochs": 4}),
        ("replaced_feature", {"epochs": 8, "lr": 0.02, "options": {"replace_prob": 0.5}}),
    ],
)
def test_pretraining_helps_where_labels_are_few(frame, objective, settings, tmp_path):
    plain = train_ctr(frame, **SETTINGS).metrics["test"]["auc"]
    run = tmp_path / "run"
    pretrain = {"objective": objective} | settings
    model = train_ctr(frame, pretrain=pretrain, out=run, **SETTINGS)
    assert model.metrics["test"]["auc"] > plain + 0.05
    assert model.metrics["pretraining"]["impressions"] == 3200
    assert model.metrics["impressions"]["train"] == 32
    again = train_ctr(frame, pretrain=pretrain, out=run, **SETTINGS)  # finished: nothing is trained anew
    assert again.probabilities(frame).tolist() == model.probabilities(frame).tolist()


def test_one_field_cannot_be_predicted_from_others(frame):
    with pytest.raises(InputError, match="it needs two"):
        train_ctr(
            frame, pretrain={"objective": "masked_feature"}, **(SETTINGS | {"features": {"categorical": ["page"]}})
        )


def test_settings_without_an_objective_are_refused(frame):
    with pytest.raises(InputError, match=r"pretrain\.objective is none"):
        train_ctr(frame, pretrain={"epochs": 9}, **SETTINGS)
