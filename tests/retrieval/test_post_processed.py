"""Neighbours of items and users by post-processed vectors."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from contracts.click_runs import ENCODER, TRAIN, make_log
from contracts.settings_contract import nested
from sklearn.decomposition import PCA

from pipelines import similar
from recsys_bert.errors import InputError
from recsys_bert.retrieval.similar_users import similar_users
from recsys_bert.stages.pretrain import pretrain

WHITE = {"post_processing": "whitening", "post_processing_options": {"width": 4}}


def nearest(vectors, row, k):
    """Rows of the largest cosines to one, without it; whitened by scikit-learn."""
    white = PCA(4, whiten=True, svd_solver="full").fit_transform(vectors.astype(np.float64))
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    scores = white @ white[row]
    scores[row] = -np.inf
    return np.argsort(-scores)[:k].tolist()


def test_users_are_compared_by_whitened_vectors():
    vectors = (np.random.default_rng(0).normal(size=(40, 6)) * [9, 5, 1, 1, 0.1, 0.1] + 3).astype(np.float32)
    ids = pl.Series("user_id", range(40))
    frame = similar_users(vectors, ids, np.array([7]), 5, *WHITE.values())
    assert frame["user_id"].to_list() == nearest(vectors, 7, 5)
    assert frame["user_id"].to_list() != similar_users(vectors, ids, np.array([7]), 5)["user_id"].to_list()


def test_items_are_compared_by_whitened_vectors(tmp_path):
    dataset = make_log(tmp_path / "data")
    model = pretrain(dataset, **nested({**ENCODER, **TRAIN, "train.epochs": 1}))
    first = dataset.vocabulary.first_item
    vectors = model.ranker.item_vectors()[first:]
    rows = np.array(nearest(vectors, 2, 5)) + first
    one_item = dataset.ids(np.array([2 + first])).to_list()
    assert model.similar(one_item, 5, **WHITE)["item_id"].to_list() == dataset.ids(rows).to_list()
    flow = model.similar(one_item, 5, post_processing="flow", post_processing_options={"epochs": 1})
    assert flow["item_id"].to_list() != dataset.ids(rows).to_list()
    users = dataset.users["user_id"].to_list()[:1]
    assert model.similar_users(users, 3, **WHITE).height == 3
    with pytest.raises(InputError, match="whitening: width is 99"):
        model.similar(one_item, 5, post_processing="whitening", post_processing_options={"width": 99})
    with pytest.raises(InputError, match="of texts nothing is post-processed"):
        model.similar(text="shoe", **WHITE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"post_processing_options": {"width": 4}}, "have no effect without post_processing"),
        ({"post_processing": "white"}, "no post-processing is called 'white'"),
        ({"post_processing": "flow", "index": Path("i")}, "but index has its own vectors"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        similar.Config(run=Path("r"), data=Path("d"), items=("1",), **settings)
