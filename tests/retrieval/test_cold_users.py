"""Users without events: lists by their features."""

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from recsys_bert.errors import InputError
from recsys_bert.retrieval.profiles import profile_codes, profile_vectors


@pytest.fixture(scope="module")
def model():
    """Two groups of users, each with items of its own; the group is a feature."""
    events = [(user, 20 * (user % 2) + (user * 7 + step) % 20, step) for user in range(80) for step in range(12)]
    log = rb.prepare(
        pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row"),
        users=pl.DataFrame({"user_id": range(80), "group": ["even", "odd"] * 40, "tags": ["x|y"] * 80}),
        user_features={"categorical": ["group"], "multi": ["tags"]},
    )
    return rb.train_retrieval(
        log,
        encoder={"dim": 16, "n_heads": 1, "n_layers": 1, "max_len": 12},
        train={"epochs": 6, "lr": 0.01},
    )


def test_features_choose_the_items_of_a_group(model):
    profiles = pl.DataFrame({"user_id": [901, 902, 903], "group": ["odd", "even", "other"], "tags": ["z", "x", None]})
    frame = model.recommend(users=[903, 902, 7, 901], k=8, profiles=profiles)
    assert frame["user_id"].unique(maintain_order=True).to_list() == [903, 902, 7, 901]
    source = dict(frame.select("user_id", "source").unique().iter_rows())
    assert source == {903: "popular", 902: "features", 7: "history", 901: "features"}
    assert frame.filter(user_id=901)["item_id"].min() >= 20
    assert frame.filter(user_id=902)["item_id"].max() < 20


def test_a_profile_is_the_mean_of_those_who_share_most(model):
    codes, known = profile_codes(
        model.dataset, {"user_id": [1, 2], "group": ["odd", None], "tags": ["y|q", "q"]}, pl.Series([1, 2])
    )
    assert known.tolist() == [True, False]
    vector = profile_vectors(model.ranker, model.dataset, {name: part[:1] for name, part in codes.items()})[0]
    everybody = model.user_vectors()
    odd = everybody.filter(pl.col("user_id") % 2 == 1)["vector"].to_numpy()
    np.testing.assert_allclose(vector, odd.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_profiles_are_filtered_and_diverse_like_any_list(model):
    profiles = pl.DataFrame({"user_id": [901], "group": ["odd"], "tags": ["x"]})
    allowed = list(range(15, 25))
    frame = model.recommend(users=[901, 904], k=10, profiles=profiles, only=allowed, diversity=0.2)
    for user in (901, 904):
        assert sorted(frame.filter(user_id=user)["item_id"]) == allowed


def test_profiles_that_cannot_be_read_are_refused(model):
    with pytest.raises(InputError, match="the profiles have no column 'tags'; they have 'user_id', 'group'"):
        model.recommend(users=[901], profiles=pl.DataFrame({"user_id": [901], "group": ["odd"]}))
    typed = rb.prepare(
        {"user_id": [1, 1, 2, 2], "item_id": [1, 2, 2, 1], "timestamp": [9**9] * 4}, split={"kind": "none"}
    )
    with pytest.raises(InputError, match="was prepared without user features"):
        profile_codes(typed, {"user_id": [3]}, pl.Series([3]))
    with pytest.raises(InputError, match="so no vector: 901"):
        model.user_vectors([901])
