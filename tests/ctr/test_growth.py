"""A CTR model on a log and impressions that have grown: scores as before, and training that goes on."""

import numpy as np
import polars as pl
import pytest
import torch

from pipelines import predict_ctr
from pipelines import train_ctr as command
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.ctr.config import ColumnsConfig
from recsys_bert.ctr.side import full_layout
from recsys_bert.errors import InputError
from recsys_bert.stages.append import append
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.train_ctr import train_ctr

COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "rating >= 4"}
FEATURES = {"categorical": ["device"], "numeric": ["price"], "multi": ["tags"]}
TRAIN = {"epochs": 1, "batch_size": 64, "device": "cpu", "precision": "fp32"}
ENCODER = {"dim": 8, "n_layers": 1, "n_heads": 2, "max_len": 10}
N_NEW = 5


@pytest.fixture(scope="module")
def grown(dataset, tmp_path_factory):
    """Tomorrow's log: ten minutes later, with five more items, three users, a genre and an age."""
    random, n = np.random.default_rng(3), 300
    events = pl.DataFrame(
        {
            "user_id": random.integers(0, 15, n),
            "item_id": random.integers(100, 100 + 18 + N_NEW, n),
            "timestamp": 1_000_700 + 10 * random.integers(0, 60, n),
        }
    )
    new = range(118, 118 + N_NEW)
    items = pl.DataFrame({"item_id": new, "genre": ["a|c"] * N_NEW, "year": [1990] * N_NEW})
    users = pl.DataFrame({"user_id": range(12, 15), "age": ["older"] * 3})
    out = tmp_path_factory.mktemp("grown") / "data"
    return append(dataset, events, items=items, users=users, out=out)


@pytest.fixture
def tomorrow(impressions):
    """Tomorrow's impressions: a new device and tag, new items."""
    frame, random = pl.read_parquet(impressions), np.random.default_rng(4)
    return frame.with_columns(
        pl.col("timestamp") + 700,
        item_id=pl.Series(random.integers(100, 118 + N_NEW, len(frame))),
        device=pl.Series(random.choice(["phone", "desktop", "watch"], len(frame))),
        tags=pl.Series(random.choice(["x y", "q", "y q z x w"], len(frame))),
    )


def trained(dataset, impressions, kind, tmp_path, **options):
    model = {"dim": 4, "head": "din" if kind == "plain" else "fm"}
    if kind != "plain":
        pretrain(dataset, encoder=ENCODER, train=TRAIN, features=["year"], out=tmp_path / "encoder")
        model |= {"encoder": tmp_path / "encoder", "encoder_mode": kind, "history_len": 8}
    out = tmp_path / "run"
    return train_ctr(
        impressions, dataset=dataset, columns=COLUMNS, features=FEATURES, model=model, train=TRAIN, out=out, **options
    )


@pytest.mark.parametrize("kind", ["plain", "frozen", "fine_tuned"])
def test_yesterdays_model_scores_on_a_grown_log_and_goes_on(
    dataset, grown, impressions, tomorrow, tmp_path, kind, capsys
):
    before = trained(dataset, impressions, kind, tmp_path)
    known = pl.read_parquet(impressions).filter(pl.col("item_id") < 115, pl.col("user_id") < 12)
    served = CTRModel.load(tmp_path / "run", grown)
    assert f"was trained before {grown.vocabulary.size - dataset.vocabulary.size} items of" in capsys.readouterr().err
    np.testing.assert_array_equal(served.probabilities(known), before.probabilities(known))  # histories of then
    assert np.isfinite(served.probabilities(tomorrow)).all()

    after = start_of(tomorrow, grown, tmp_path / "run", tmp_path)
    check_weights(before, after, dataset, grown)
    probabilities = after.probabilities(known)
    np.testing.assert_allclose(probabilities, before.probabilities(known), rtol=1e-5, atol=1e-6)
    model = train_ctr(tomorrow, dataset=grown, init=before, train=TRAIN, out=tmp_path / "on")
    assert model.config.model.head == before.config.model.head
    again = CTRModel.load(tmp_path / "on", grown)
    np.testing.assert_array_equal(again.probabilities(tomorrow), model.probabilities(tomorrow))
    assert model.features.values["device"].to_list() == [*before.features.values["device"], "watch"]
    assert model.features.numbers == before.features.numbers


def start_of(impressions, dataset, init, tmp_path):
    """The model at the start of a training."""
    models = []

    def no_training(config, module, data, folder):
        models.append(module)
        return {"seconds": 0, "best_epoch": 0, "epochs": 0, "impressions": {}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys_bert.stages.train_ctr._fit", no_training)
        model = train_ctr(impressions, dataset=dataset, init=init, train=TRAIN, out=tmp_path / "start")
    model.module.eval()
    return model


def check_weights(before, after, dataset, grown):
    old, new = before.module.state_dict(), after.module.state_dict()
    for name, weight in old.items():
        if name == "table.weight":
            layouts = [full_layout(m.features, m.config.features, d) for m, d in ((before, dataset), (after, grown))]
            for at, other, field in zip(layouts[0].offsets, layouts[1].offsets, layouts[0].fields, strict=True):
                assert torch.equal(weight[at : at + field.size], new[name][other : other + field.size]), field.name
        else:
            assert torch.equal(new[name][: len(weight)] if weight.ndim else new[name], weight), name
    rows = [name for name in new if name.endswith(("items.weight", "embeddings.token.weight"))]
    assert [len(new[name]) for name in rows] == [grown.vocabulary.size]
    fresh = new[rows[0]][dataset.vocabulary.size :]
    assert fresh.norm(dim=1).min() > 0


def test_todays_encoder_takes_the_place_of_yesterdays(dataset, grown, impressions, tomorrow, tmp_path):
    before = trained(dataset, impressions, "frozen", tmp_path)
    pretrain(grown, init=tmp_path / "encoder", train=TRAIN, out=tmp_path / "today")
    model = train_ctr(tomorrow, dataset=grown, init=before, model={"encoder": tmp_path / "today"}, train=TRAIN)
    expected = pretrained_table(tmp_path / "today", grown)
    assert torch.equal(model.module.reader.prediction.encoder.embeddings.token.weight, expected)


def pretrained_table(run, dataset):
    from recsys_bert.user_encoder.checkpoint import load_encoder

    return load_encoder(run, dataset).encoder.embeddings.token.weight


def test_an_old_frozen_encoder_serves_a_new_model(dataset, grown, tomorrow, tmp_path):
    model = trained(grown, tomorrow, "plain", tmp_path)
    pretrain(dataset, encoder=ENCODER, train=TRAIN, out=tmp_path / "old")
    settings = {"columns": COLUMNS, "features": FEATURES, "model": {"encoder": tmp_path / "old", "history_len": 8}}
    model = train_ctr(tomorrow, dataset=grown, train=TRAIN, out=tmp_path / "new", **settings)
    again = CTRModel.load(tmp_path / "new", grown)
    np.testing.assert_array_equal(again.probabilities(tomorrow), model.probabilities(tomorrow))


def test_settings_of_init_are_taken_over_or_refused(dataset, grown, impressions, tomorrow, tmp_path):
    trained(dataset, impressions, "plain", tmp_path)
    run = tmp_path / "run"
    for group, settings, name in (
        ("model", {"dim": 8}, r"model\.dim is 8, but init .*run has 4"),
        ("features", {"numeric": ["rating"]}, r"features\.numeric"),
        ("columns", {"label": "price >= 4"}, r"columns\.label"),
    ):
        with pytest.raises(InputError, match=name):
            train_ctr(tomorrow, dataset=grown, init=run, **{group: settings})
    tomorrow.write_parquet(tmp_path / "tomorrow.parquet")
    config = command.Config(
        impressions=tmp_path / "tomorrow.parquet",
        data=grown.folder,
        init=run,
        out=tmp_path / "on",
        columns=ColumnsConfig(label="rating >= 4"),  # as there
    )
    assert command.run(config)["validation"]["auc"] > 0
    out = tmp_path / "scores.parquet"
    predict_ctr.run(predict_ctr.Config(run=run, impressions=tmp_path / "tomorrow.parquet", data=grown.folder, out=out))
    assert pl.read_parquet(out)["probability"].is_finite().all()


def test_items_of_a_history_column_keep_their_rows(impressions, tomorrow, tmp_path):
    lists = [pl.concat_list([pl.col("item_id") - gap for gap in gaps]).alias("past") for gaps in ((1, 2), (3, 1))]
    today, after = pl.read_parquet(impressions).with_columns(lists[0]), tomorrow.with_columns(lists[1])
    columns = {"item": "item_id", "time": "timestamp", "label": "rating >= 4", "history": "past"}
    first = train_ctr(today, columns=columns, features=FEATURES, model={"dim": 4, "head": "din"}, train=TRAIN)
    second = start_of(after, None, first, tmp_path)
    n_known, table = len(first.features.items.ids), second.module.reader.items.weight
    assert second.features.items.ids[:n_known].to_list() == first.features.items.ids.to_list()
    assert len(second.features.items.ids) > n_known
    old = first.module.reader.items.weight
    assert torch.equal(table[: len(old)], old)
    torch.testing.assert_close(table[len(old)], old[3:].mean(0))
    known = today.filter(pl.col("item_id") < 115)
    np.testing.assert_allclose(second.probabilities(known), first.probabilities(known), rtol=1e-5, atol=1e-6)
