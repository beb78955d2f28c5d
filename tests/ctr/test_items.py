"""Histories from a column of item lists, without a prepared log and beside one."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.ctr.build import build_module
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig
from recsys_bert.ctr.data import encode, fit_features
from recsys_bert.ctr.impressions import read_impressions
from recsys_bert.ctr.items import FIRST_ITEM, ItemVocabulary, list_histories
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.side import full_layout
from recsys_bert.errors import InputError
from recsys_bert.stages.train_ctr import train_ctr

COLUMNS = ColumnsConfig(item="item", history="past", label="clicked")
CONFIG = CTRConfig(columns=COLUMNS, model=CTRModelConfig(history_len=2)).resolved(False)


def test_targets_and_histories_share_a_vocabulary():
    items = ItemVocabulary.fit(pl.Series([3, 4, 3]), pl.Series(["4 9", "4", None]), " ", min_count=1)
    assert items.ids.to_list() == ["4", "3", "9"]
    assert items.n_rows == FIRST_ITEM + 3
    assert items.rows(pl.Series(["9", "4", "5", None])).tolist() == [FIRST_ITEM + 2, FIRST_ITEM, UNKNOWN, UNKNOWN]
    assert ItemVocabulary.fit(pl.Series([3, 4, 3]), pl.Series(["4 9"]), " ", min_count=2).ids.to_list() == ["3", "4"]


@pytest.mark.parametrize("column", [[[9, 4, 3], [], [4]], ["9,4,3", "", "4"], ["[9, 4, 3]", "[]", "[4]"]])
def test_histories_are_the_last_items_of_the_lists(column):
    items = ItemVocabulary(pl.Series(["3", "4"]))
    histories = list_histories(pl.Series("past", column), ",", items, max_len=2)
    rows, lengths = histories.gather(histories.offsets[:-1], histories.offsets[1:], 5)
    assert rows.tolist() == [[FIRST_ITEM + 1, FIRST_ITEM], [0, 0], [FIRST_ITEM + 1, 0]]
    assert lengths.tolist() == [2, 0, 1]


def test_impressions_are_encoded_with_their_own_history():
    train = pl.DataFrame({"item": [1, 2], "past": [[2, 1, 2], [1]], "clicked": [1, 0]})
    features = fit_features(train, CONFIG, None)
    new = pl.DataFrame({"item": [2, 7], "past": [[1, 7], None], "clicked": [1, 0]})
    data = encode(
        read_impressions(new, COLUMNS, []), CONFIG, features, full_layout(features, CONFIG.features, None), None
    )
    batch = data.batch(slice(None), 2)
    row = {value: FIRST_ITEM + at for at, value in enumerate(features.items.ids)}
    assert batch["history"].tolist() == [[row["1"], UNKNOWN], [0, 0]]
    assert batch["target"].tolist() == [row["2"], UNKNOWN]
    assert data.counts == {
        "item: unseen in training": 1,
        "past: items without training event": 1,
        "impressions without history": 1,
        "impressions of items without training event": 1,
    }


@pytest.fixture(scope="module")
def frame():
    """Clicked where the target is among the last two items, but for one in ten."""
    random = np.random.default_rng(0)
    past = [random.integers(0, 6, random.integers(0, 6)).tolist() for _ in range(1500)]
    item = random.integers(0, 6, 1500)
    clicked = np.array([target in items[-2:] for target, items in zip(item, past, strict=True)])
    return pl.DataFrame(
        {"item": item, "past": past, "clicked": clicked ^ (random.random(1500) < 0.1), "time": range(1500)}
    )


SETTINGS = {
    "columns": {"item": "item", "history": "past", "label": "clicked", "time": "time"},
    "features": {"ids": []},
    "model": {"head": "din", "dim": 8, "init_std": 0.3, "head_options": {"hidden": [16]}, "history_len": 2},
    "train": {"epochs": 6, "batch_size": 64, "lr": 0.02, "device": "cpu", "precision": "fp32"},
}


def test_a_model_learns_from_the_column(frame, tmp_path):
    model = train_ctr(frame, out=tmp_path / "run", **SETTINGS)
    assert model.metrics["test"]["auc"] > 0.72  # at best .87
    assert model.metrics["fields"] == ["target item", "history", "match"]
    again = CTRModel.load(tmp_path / "run")
    expected = model.probabilities(frame)
    assert again.probabilities(frame.drop("time", "clicked")).tolist() == expected.tolist()
    written = frame.with_columns(past=pl.format("[{}]", pl.col("past").cast(pl.List(pl.String)).list.join(", ")))
    written.drop("clicked").write_csv(tmp_path / "new.csv")
    assert again.probabilities(tmp_path / "new.csv").tolist() == expected.tolist()
    assert again.predict(tmp_path / "new.csv").columns == ["item", "time", "past", "probability"]
    cut = frame.with_columns(past=pl.col("past").cast(pl.List(pl.String)).list.join("|"))
    settings = SETTINGS | {"features": {"ids": [], "separators": {"past": "|"}}}
    assert train_ctr(cut, **settings).probabilities(cut).tolist() == expected.tolist()


def test_a_column_of_the_logs_own_events_is_the_log(click_log, dataset, impressions):
    """Beside a prepared log the items are the log's; where the lists are its events, so are the probabilities."""
    table = pl.read_parquet(impressions)
    events = click_log.sort("timestamp", maintain_order=True)
    past = [
        events.filter((pl.col("user_id") == user) & (pl.col("timestamp") < time))["item_id"].to_list()
        for user, time in table.select("user_id", "timestamp").iter_rows()
    ]
    table = table.with_columns(past=pl.Series(past, dtype=pl.List(pl.Int64)))
    columns = ColumnsConfig(user="user_id", item="item_id", time="timestamp", label="rating >= 4")
    scores = []
    for history in (None, "past"):
        torch.manual_seed(0)
        model = CTRModelConfig(head="bst", dim=4, init_std=0.5, history_len=6)
        config = CTRConfig(columns=replace(columns, history=history), model=model).resolved(True)
        features = fit_features(table, config, dataset)
        module = build_module(config, features, dataset)
        scores.append(CTRModel(module.eval(), features, config, dataset).probabilities(table))
    assert scores[0].tolist() == scores[1].tolist()
    assert len(set(scores[0].tolist())) > 300


@pytest.mark.parametrize(
    ("times", "types", "message"),
    [(True, False, "reads the times of"), (False, True, "reads the event types of"), (True, True, "times and event")],
)
def test_an_encoder_that_reads_more_than_items_is_refused(times, types, message):
    module = SimpleNamespace(reads_times=times, reads_event_types=types)
    with pytest.raises(InputError, match=message):
        CTRModel(module, None, CONFIG)


@pytest.mark.parametrize(
    ("columns", "features", "model", "message"),
    [
        ({"history": "past"}, {}, {}, "columns.history needs columns.item"),
        (
            {"item": "item", "history": "past"},
            {},
            {"history_len": 0},
            "columns.history is 'past', but model.history_len",
        ),
        ({"item": "item"}, {}, {"history_len": 3}, "come from a prepared log or from columns.history"),
        ({"item": "item"}, {"separators": {"past": "|"}}, {}, "features.separators .* name no column"),
        ({"item": "item", "history": "past"}, {"separators": {"pst": "|"}}, {}, "did you mean 'past'"),
        ({"item": "item", "history": "clicked"}, {}, {}, "'clicked' gives the label"),
    ],
)
def test_settings_of_a_history_column_that_do_not_fit_are_refused(frame, columns, features, model, message):
    with pytest.raises(InputError, match=message):
        train_ctr(frame, columns={"label": "clicked", "time": "time"} | columns, features=features, model=model)
