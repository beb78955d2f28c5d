"""Encoders of items by their text alone: they learn from one log or several, and go to another."""

import numpy as np
import polars as pl
import pytest
import torch

from recsys_bert.errors import InputError
from recsys_bert.stages.item_vectors import item_vectors
from recsys_bert.stages.merged_log import merge_logs
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.user_encoder.checkpoint import load_encoder

TOPICS, DIM = 6, 8
ENCODER = {"dim": 16, "n_layers": 1, "n_heads": 1, "max_len": 8, "dropout": 0.0}
TRAIN = {"epochs": 25, "batch_size": 16, "lr": 1e-2, "device": "cpu", "precision": "fp32", "patience": 0}
SETTINGS = {"encoder": ENCODER, "train": TRAIN, "loss": {"similarity": "cosine", "temperature": 0.1}}


def topic_log(prefix, n_items, n_users, tmp_path_factory, seed):
    """Users walk from topic to topic in one fixed order; an item's vector says its topic, its id says nothing."""
    random, events = np.random.default_rng(seed), []
    topics = np.arange(n_items) % TOPICS
    for user in range(n_users):
        for step in range(7):
            item = int(random.choice(np.flatnonzero(topics == (user + step) % TOPICS)))
            events.append((f"u{user}", f"{prefix}{item}", step))
    log = prepare(
        pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row"),
        out=tmp_path_factory.mktemp(prefix) / "log",
    )
    directions = np.linalg.qr(np.random.default_rng(9).normal(size=(DIM, DIM)))[0]
    vectors = np.zeros((log.n_rows, DIM), np.float32)
    first = log.vocabulary.first_item
    for row, item in enumerate(log.items["item_id"], first):
        noise = np.random.default_rng(int(item[1:])).normal(size=DIM)
        vectors[row] = directions[topics[int(item[1:])]] + 0.1 * noise
    return log, vectors


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return topic_log("a", 30, 60, tmp_path_factory, 0)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return topic_log("b", 18, 40, tmp_path_factory, 1)


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "source"
    pretrain(source[0], item_vectors=source[1], out=out, **SETTINGS)
    return out


def topic_hits(model, log):
    """Share of users whose first recommendation is of the topic that comes next."""
    lists = model.recommend(users=log.user_ids.to_list(), k=1)
    last = {user: log.history(user)[-1] for user in lists["user_id"]}
    return np.mean(
        [
            (int(last[user][1:]) + 1) % TOPICS == int(item[1:]) % TOPICS
            for user, item in lists["user_id", "item_id"].rows()
        ]
    )


def test_an_encoder_goes_to_a_log_that_it_never_saw(trained, target):
    log, vectors = target
    untrained = TRAIN | {"epochs": 1, "lr": 1e-9}
    there = pretrain(log, item_vectors=vectors, init=trained, train=untrained)
    scratch = pretrain(log, item_vectors=vectors, **(SETTINGS | {"train": untrained}))
    assert topic_hits(there, log) > 0.8
    assert topic_hits(scratch, log) < 0.6


def test_the_item_table_holds_the_vectors_and_stays_unless_it_is_trained(trained, target):
    log, vectors = target
    frozen = pretrain(log, item_vectors=vectors, init=trained, train=TRAIN | {"epochs": 2})
    moved = pretrain(log, item_vectors=vectors, init=trained, train_item_vectors=True, train=TRAIN | {"epochs": 2})
    first = log.vocabulary.first_item
    rows = torch.from_numpy(vectors[first : log.vocabulary.size])
    tables = [model.ranker.pretrained.encoder.embeddings.token.weight.detach()[first:] for model in (frozen, moved)]
    torch.testing.assert_close(torch.cosine_similarity(tables[0], rows), torch.ones(len(rows)))
    assert (torch.cosine_similarity(tables[1], rows) < 0.9999).any()


def test_a_moved_encoder_opens_on_its_log_and_says_what_it_is(trained, target, tmp_path):
    log, vectors = target
    model = pretrain(log, item_vectors=vectors, init=trained, out=tmp_path / "there", train=TRAIN | {"epochs": 1})
    loaded = load_encoder(tmp_path / "there", log)
    assert loaded.items == "vectors"
    expected = model.ranker.pretrained.encoder.state_dict()
    for name, tensor in loaded.encoder.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_several_logs_are_one_with_the_vectors_of_each(source, target, tmp_path):
    merged, vectors = merge_logs([source[0], target[0]], [source[1], target[1]], tmp_path / "log")
    assert len(merged.histories.items) == sum(len(log.histories.items) for log, _ in (source, target))
    for name in ("train_end", "validation_end"):
        n_events = [
            int((getattr(log.histories, name) - log.histories.offsets[:-1]).sum()) for log, _ in (source, target)
        ]
        assert int((getattr(merged.histories, name) - merged.histories.offsets[:-1]).sum()) == sum(n_events)
    for number, (log, own) in enumerate((source, target)):
        for item in ("3", "7"):
            name = f"{'ab'[number]}{item}"
            np.testing.assert_array_equal(vectors[merged.rows([f"{number}:{name}"])[0]], own[log.rows([name])[0]])
        user = log.user_ids[4]
        assert merged.history(f"{number}:{user}") == [f"{number}:{item}" for item in log.history(user)]


def test_pretraining_on_several_logs_serves_a_third(source, target, tmp_path_factory, tmp_path):
    out = tmp_path / "both"
    pretrain([source[0], target[0]], item_vectors=[source[1], target[1]], out=out, **SETTINGS)
    log, vectors = topic_log("c", 24, 30, tmp_path_factory, 2)
    model = pretrain(log, item_vectors=vectors, init=out, train=TRAIN | {"epochs": 1, "lr": 1e-9})
    assert topic_hits(model, log) > 0.8


def test_item_vectors_stand_for_their_rows(source, tmp_path):
    """``ItemVectors`` as ``rb.item_vectors`` gives them, for one log or several."""
    log, rows = source
    of_items = pl.DataFrame({"item_id": log.items["item_id"], "vector": rows[log.vocabulary.first_item :]})
    vectors = item_vectors(log, by="ready", source=of_items)
    few = {"encoder": ENCODER, "train": TRAIN | {"epochs": 1}}
    expected = pretrain(log, item_vectors=vectors.rows, **few)
    same = pretrain(log, item_vectors=vectors, **few)
    np.testing.assert_array_equal(same.ranker.item_vectors(), expected.ranker.item_vectors())
    pretrain([log, log], item_vectors=[vectors, vectors], **few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vectors: vectors[:-1], "catalogue rows, each with one vector"),
        (lambda vectors: np.where(np.arange(len(vectors))[:, None] == 5, np.nan, vectors), "1 rows with NaN"),
        (lambda vectors: vectors * 0, "no training item"),
        (lambda vectors: vectors[:, :-1], "8 wide, these are 7"),
    ],
)
def test_bad_vectors_are_refused(trained, target, change, message):
    log, vectors = target
    with pytest.raises(InputError, match=message):
        pretrain(log, item_vectors=change(vectors), init=trained, train=TRAIN)


def test_an_encoder_of_ids_stays_at_home_and_says_what_travels(source, target, tmp_path):
    few = TRAIN | {"epochs": 1}
    pretrain(source[0], out=tmp_path / "ids", encoder=ENCODER, train=few)
    with pytest.raises(InputError, match=r"vocabulary .* pretrain one on text"):
        pretrain(target[0], init=tmp_path / "ids", train=few)
    with pytest.raises(InputError, match="encoder of ids, which mean nothing in another log"):
        pretrain(target[0], item_vectors=target[1], init=tmp_path / "ids", train=few)


def test_settings_that_vectors_replace_are_refused(source, target):
    with pytest.raises(InputError, match="item_init is 'ppmi'"):
        pretrain(source[0], item_vectors=source[1], item_init="ppmi", **SETTINGS)
    with pytest.raises(InputError, match="train_item_vectors is on"):
        pretrain(source[0], train_item_vectors=True, **SETTINGS)
    with pytest.raises(InputError, match="without item_vectors"):
        pretrain([source[0], target[0]], **SETTINGS)
    with pytest.raises(InputError, match="embedding_dim is 4"):
        pretrain(source[0], item_vectors=source[1], **(SETTINGS | {"encoder": ENCODER | {"embedding_dim": 4}}))
