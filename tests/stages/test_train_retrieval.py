"""Two towers from Python: prepare a frame, train, recommend, similar items, save and load."""

import gc

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.fuse import fuse
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig

SETTINGS = {
    "encoder": {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 10},
    "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", "device": "cpu"},
    "towers": {"item_features": ["kind"]},
}


@pytest.fixture(scope="module")
def dataset():
    random = np.random.default_rng(0)
    n = 600
    events = pl.DataFrame(
        {
            "user_id": random.integers(0, 50, n),
            "item_id": random.zipf(1.5, n) % 30 + 100,
            "timestamp": np.arange(n) * 3600 + 1_700_000_000,
        }
    )
    ids = np.arange(100, 132)  # two of them have no event
    items = pl.DataFrame({"item_id": ids, "title": [f"Film {item}" for item in ids], "kind": (ids % 3).astype(str)})
    return prepare(events, items=items, item_features={"categorical": ["kind"]})


@pytest.fixture(scope="module")
def recommender(dataset):
    return train_retrieval(dataset, **SETTINGS)


def test_lists_of_users_are_those_of_the_ranker(dataset, recommender):
    frame = recommender.recommend([7, 3], k=4)
    assert frame.columns == ["user_id", "rank", "item_id", "score", "source", "title"]
    assert frame["user_id"].to_list() == [7] * 4 + [3] * 4
    assert frame["rank"].to_list() == [1, 2, 3, 4] * 2
    assert frame["title"].to_list() == [f"Film {item}" for item in frame["item_id"]]
    users = dict(recommender.user_vectors(pl.Series([7, 3])).iter_rows())
    items = recommender.item_vectors()
    scores = items["vector"].to_numpy() @ np.array(users[3])
    table = items.with_columns(score=pl.Series(scores)).filter(~pl.col("item_id").is_in(history_of(dataset, 3)))
    best = table.sort("score", descending=True).head(4)
    assert frame.filter(user_id=3)["item_id"].to_list() == best["item_id"].to_list()
    np.testing.assert_allclose(frame.filter(user_id=3)["score"], best["score"], rtol=1e-4)


def history_of(dataset, user):
    row = int(dataset.user_rows([user])[0])
    data = dataset.histories
    return dataset.ids(data.items[data.offsets[row] : data.offsets[row + 1]]).to_list()


def test_histories_and_all_users(dataset, recommender, capsys):
    frame = recommender.recommend(histories=[[101, 102], [103, 999]], k=3)
    assert frame["query"].to_list() == [1, 1, 1, 2, 2, 2]
    assert "1 of 4 items are unknown" in capsys.readouterr().err
    assert not set(frame.filter(query=1)["item_id"]) & {101, 102}
    every = recommender.recommend(k=2)
    assert every["user_id"].n_unique() == dataset.histories.n_users
    with pytest.raises(InputError, match="users and histories are both given"):
        recommender.recommend([1], histories=[[101]])


def test_similar_items_and_items_without_events(recommender):
    frame = recommender.similar([101, 130], k=3)
    assert frame.columns == ["similar_to", "rank", "item_id", "score", "title"]
    assert frame["similar_to"].to_list() == [101] * 3 + [130] * 3
    assert (frame["item_id"] != frame["similar_to"]).all()
    with pytest.raises(InputError, match="1 of 2 items are not in"):
        recommender.similar([101, 7])


def test_a_copy_recommends_the_same(dataset, recommender, tmp_path):
    recommender.save(tmp_path / "copy")
    copy = Recommender.load(tmp_path / "copy", dataset.folder, index=tmp_path / "copy" / "index")
    exact = Recommender.load(tmp_path / "copy", dataset).recommend([7, 3])
    assert_frame_equal(copy.recommend([7, 3]), exact, rel_tol=1e-6)  # FAISS adds products in another order
    assert copy.recommend([7])["item_id"].to_list() == recommender.recommend([7])["item_id"].to_list()
    assert not (tmp_path / "copy" / "checkpoints").exists()


def test_it_shows_what_it_is(recommender):
    assert "32 items, dim 8" in repr(recommender)
    assert recommender.summary["items_indexed"] == 32
    assert "<th>best epoch</th>" in recommender._repr_html_()


def test_a_temporary_run_goes_with_the_recommender(dataset):
    towers = train_retrieval(dataset, **{**SETTINGS, "train": {**SETTINGS["train"], "epochs": 1}})
    run = towers.run
    assert (run / "two_tower" / "config.json").is_file()
    del towers
    gc.collect()
    assert not run.exists()


def test_a_run_folder_is_that_of_the_command(dataset, tmp_path):
    train_retrieval(dataset, out=tmp_path / "run", **SETTINGS)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "checkpoints",
        "checksums.sha256",
        "config.toml",
        "data.json",
        "index",
        "metrics.jsonl",
        "trained_on.json",
        "two_tower",
    }
    assert read_json(tmp_path / "run" / "two_tower" / "config.json")["towers"]["item_features"] == ["kind"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": {"name": "full", "negatives": {"uniform": 64}}}, "negatives.uniform has no effect"),
        ({"loss": {"calibration": 0.75}}, "loss.calibration has no effect"),
        ({"towers": {"hidden": 128}}, "towers.hidden has no effect"),
        ({"init": "run", "encoder": {"dim": 64}}, "encoder.dim comes from init run"),
        ({"epochs": 3}, "no setting is called 'epochs'"),
        ({"config": TrainRetrievalConfig(), "crop": "last"}, "settings came twice"),
    ],
)
def test_settings_without_effect_are_refused_even_where_they_are_the_default(dataset, settings, message):
    with pytest.raises(InputError, match=message):
        train_retrieval(dataset, **settings)


def test_runs_are_fused_with_counts_and_copied_whole(dataset, recommender, tmp_path):
    fused = fuse([recommender], dataset, weights=[1.0], smoothings=[0.01], half_lives=(), recent_weights=())
    assert (fused.summary["weight"], len(fused.summary["tried"])) == (1.0, 2)
    assert fused.ranker.reranks
    fused.save(tmp_path / "copy")
    copy = Recommender.load(tmp_path / "copy", dataset)
    lists = fused.recommend([7, 3])
    assert copy.recommend([7, 3])["item_id"].to_list() == lists["item_id"].to_list()
    assert (tmp_path / "copy" / "runs" / "0-two-towers" / "two_tower").is_dir()  # nothing outside is needed
    with pytest.raises(InputError, match="each once"):
        fuse([recommender, recommender], dataset)
