"""Numbers and vectors in towers and pretrained encoders: what they add, and to whom."""

import numpy as np
import polars as pl
import pytest
import torch

import recsys_bert as rb
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK, UNKNOWN
from recsys_bert.encoder.adapter import Adapter
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction, drop_ids
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.retrieval.two_tower import build_two_tower
from recsys_bert.stages.prepare import prepare
from recsys_bert.user_encoder.checkpoint import feature_configs, row_features

N_ITEMS, N_COLD, WIDTH = 40, 8, 4
TINY = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 12, "init_std": 0.1},
    "train": {"epochs": 2, "batch_size": 16, "device": "cpu", "precision": "fp32"},
}


def topics(n=N_ITEMS + N_COLD):
    return np.arange(n) % 4


def vectors():
    """The topic of each item, with noise."""
    noise = np.random.default_rng(1).normal(scale=0.2, size=(N_ITEMS + N_COLD, WIDTH))
    return np.eye(WIDTH)[topics()] + noise


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """120 users, each of whom stays in one topic; the last 8 items are cold, item 5 has no vector and no price."""
    return make_log(tmp_path_factory.mktemp("log") / "data", vectors())


def make_log(out, rows):
    random = np.random.default_rng(0)
    events = []
    for user in range(120):
        items = random.permutation(np.flatnonzero(topics(N_ITEMS) == user % 4))[: random.integers(5, 10)]
        events += [(user, int(item), 1_000 * position) for position, item in enumerate(items)]
    n = N_ITEMS + N_COLD
    items = pl.DataFrame(
        {
            "item_id": range(n),
            "kind": [f"kind {i % 3}" for i in range(n)],
            "price": [None if i == 5 else float(i) for i in range(n)],
            "zero": [[0.0] * 3] * n,
            "emb": [None if i == 5 else row for i, row in enumerate(rows.tolist())],
        }
    )
    users = pl.DataFrame({"user_id": range(120), "age": [float(u % 50) for u in range(120)], "zero": [1.0] * 120})
    return prepare(
        pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row"),
        items=items,
        item_features={"categorical": ["kind"], "numeric": ["price"], "vectors": ["zero", "emb"]},
        users=users,
        user_features={"numeric": ["age", "zero"]},
        out=out,
    )


def encoder(log, features=(), **changes):
    torch.manual_seed(0)
    settings = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 12, "dropout": 0.0, "attention": "causal", **changes}
    return Encoder(
        EncoderConfig(vocab_size=log.vocabulary.size, features=feature_configs(log, tuple(features)), **settings)
    )


def towers(log, *, features=(), loss=TOWERS_LOSS, id_dropout=0.0, **changes):
    config = TowersConfig(**{"dropout": 0.0, **changes})
    return randomised(build_two_tower(encoder(log, features), config, loss, log, id_dropout=id_dropout)).eval()


def prediction(log, features=(), loss=None, **changes):
    causal = encoder(log, features)
    tables = row_features(log, causal.config)
    loss = loss or LossConfig(similarity="dot")
    first = log.vocabulary.first_item
    return randomised(
        TokenPrediction(causal, loss, first_row=first, features=tables, unknown=UNKNOWN, **changes)
    ).eval()


def randomised(model):
    """Adapters as if they had been trained; they start at 0."""
    torch.manual_seed(1)
    for adapter in (module for module in model.modules() if isinstance(module, Adapter)):
        assert not adapter.out.weight.any()
        torch.nn.init.normal_(adapter.out.weight)
    return model


def batch_of(log, n=6):
    first = log.vocabulary.first_item
    tokens = torch.tensor([[first + (u + j) % N_ITEMS for j in range(5)] for u in range(n)])
    positions = torch.arange(n * 5)
    targets = torch.tensor([first + (int(p) * 3) % N_ITEMS for p in positions])
    negatives = torch.arange(first, first + 12).repeat(n, 1)
    return {
        "tokens": tokens,
        "positions": positions,
        "targets": targets,
        "negatives": negatives,
        "users": torch.arange(n),
    }


def same_weights(model, plain):
    """Load the weights of a model without further features into one with them."""
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    return missing


@pytest.mark.parametrize("adapter", ["linear", "mlp"])
def test_a_feature_of_zeros_changes_neither_loss_nor_gradients_of_towers(log, adapter):
    plain = towers(log, features=["kind"], item_features=("kind",))
    zeros = towers(
        log,
        features=["kind", "zero"],
        item_features=("kind", "zero"),
        user_features=("zero",),  # the same number for all: standardised to 0
        adapter=adapter,
    )
    added = same_weights(zeros, plain)
    assert len(added) == (3 if adapter == "linear" else 5)
    batch = batch_of(log)
    losses = [model(batch) for model in (plain, zeros)]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == losses[1].item()
    others = dict(zeros.named_parameters())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(others[name].grad, parameter.grad, rtol=0, atol=0)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_feature_of_zeros_changes_no_pretraining_loss(log, similarity):
    loss = LossConfig(similarity=similarity)
    plain, zeros = prediction(log, ["kind"], loss), prediction(log, ["kind", "zero"], loss)
    same_weights(zeros, plain)
    batch = batch_of(log)
    torch.testing.assert_close(plain(batch), zeros(batch), rtol=1e-6, atol=1e-6)


def test_an_item_without_a_vector_has_its_embedding_alone(log):
    model = towers(log, item_features=("emb", "price"), loss=LossConfig(similarity="dot"))
    row = torch.tensor([int(log.rows([5])[0])])
    torch.testing.assert_close(model.item_side(row), model.encoder.embeddings.token(row))
    other = torch.tensor([int(log.rows([6])[0])])
    assert not torch.equal(model.item_side(other), model.encoder.embeddings.token(other))


def test_items_are_embedding_plus_adapters_by_hand(log):
    model = towers(log, item_features=("emb", "price"), loss=LossConfig(similarity="dot"))
    rows = torch.from_numpy(log.rows([0, 7, 44])).long()  # the last one is cold
    weights = [adapter.out.weight for adapter in model.items.adapters]
    emb, price = (torch.tensor(log.item_dense[name].values[rows.numpy()]) for name in ("emb", "price"))
    ids = model.encoder.embeddings.token.weight[[int(rows[0]), int(rows[1]), UNKNOWN]]
    torch.testing.assert_close(model.item_side(rows), ids + emb / WIDTH @ weights[0].T + price @ weights[1].T)


def test_encoders_read_and_predict_embedding_plus_adapter(log):
    model = prediction(log, ["emb"])
    rows = torch.from_numpy(log.rows([0, 7, 44])).long()
    weight = model.encoder.embeddings.features[0].out.weight
    added = torch.tensor(log.item_dense["emb"].values[rows.numpy()]) / WIDTH @ weight.T
    ids = model.encoder.embeddings.token.weight[[int(rows[0]), int(rows[1]), UNKNOWN]]
    torch.testing.assert_close(model.items(rows), ids + added)
    known = torch.arange(log.vocabulary.first_item, log.vocabulary.size)
    torch.testing.assert_close(model.items(), model.items(known))
    plain = model.encoder.embeddings(rows[None, :2], rows[None, :2] > 0, None, model.features(rows[None, :2]))
    position = model.encoder.embeddings.position.weight[[1, 0]]
    torch.testing.assert_close(plain[0], (ids + added)[:2] + position)


def test_masked_positions_have_no_vector(log):
    values = prediction(log, ["emb", "price"]).features(torch.tensor([[MASK, UNKNOWN, 0]]))
    assert not any(value.any() for value in values.values())


def test_tables_are_neither_trained_nor_saved(log):
    model = towers(log, features=["emb"], item_features=("emb",), user_features=("age",))
    model(batch_of(log)).backward()
    assert not any("table_" in name for name in [*model.state_dict(), *dict(model.named_parameters())])
    assert model.items.adapters[0].out.weight.grad.abs().sum() > 0
    assert model.encoder.embeddings.features[0].out.weight.grad.abs().sum() > 0
    assert not any(buffer.requires_grad for buffer in model.buffers())


def test_users_of_no_log_have_no_numbers(log):
    model = towers(log, user_features=("age",), loss=LossConfig(similarity="dot"))
    hidden = torch.randn(2, 16)
    both = model.user_side(hidden, torch.tensor([3, -1]))
    torch.testing.assert_close(both[1], model.encoder.project(hidden)[1])
    assert not torch.equal(both[0], model.encoder.project(hidden)[0])


def test_dropped_ids_are_items_alone():
    tokens = torch.tensor([[0, MASK, UNKNOWN, 3, 4, 5]] * 4_000)
    torch.manual_seed(0)
    dropped = drop_ids(tokens, 0.3, 3, UNKNOWN)
    assert torch.equal(dropped[:, :3], tokens[:, :3])
    assert (dropped[:, 3:] == UNKNOWN).float().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("build", [towers, prediction])
def test_id_dropout_acts_in_training_only_and_leaves_features(log, build):
    plain, dropping = build(log, features=["emb"]), build(log, features=["emb"], id_dropout=0.999)
    batch = batch_of(log)
    assert plain(batch).item() == dropping(batch).item()
    dropping.train()
    seen = []
    dropping.encoder.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True)
    dropping(batch)
    (tokens,), kwargs = seen[0]
    assert (tokens == UNKNOWN).float().mean() > 0.9
    values = log.item_dense["emb"].values[batch["tokens"].numpy()]
    torch.testing.assert_close(kwargs["features"]["emb"], torch.tensor(values))


def cold_precision(run, log):
    """Share of the top 2 cold items that are of the user's topic; chance is a quarter."""
    ranker, queries = load_ranker(run, log), Queries.of(log, "test")
    scores = ranker.user_vectors(queries) @ ranker.item_vectors()[log.vocabulary.size :].T
    items = log.ids(np.arange(log.vocabulary.size, log.n_rows)).to_numpy()
    best = items[np.argsort(-scores, axis=1)[:, :2]]
    return float((topics()[best] == queries.users[:, None] % 4).mean())


LONG = {**TINY, "train": {**TINY["train"], "epochs": 12, "lr": 0.02}}


def test_towers_rank_cold_items_by_their_vectors(log):
    model = rb.train_retrieval(
        log,
        **LONG,
        features=["emb"],
        id_dropout=0.3,
        towers={"item_features": ["emb"], "id_dropout": 0.3},
        loss={"name": "full", "similarity": "cosine"},
    )
    assert cold_precision(model.run, log) > 0.8


def test_a_run_is_not_of_a_log_with_other_vectors(log, tmp_path):
    turned = make_log(tmp_path / "turned", vectors()[:, [1, 0, 3, 2]])  # of the same scale
    towers = rb.train_retrieval(log, out=tmp_path / "towers", towers={"item_features": ["emb"]}, **TINY)
    load_ranker(towers.run, make_log(tmp_path / "again", vectors()))
    with pytest.raises(InputError, match="did not grow from it"):
        load_ranker(towers.run, turned)


@pytest.mark.parametrize("objective", ["next_item", "masked"])
def test_pretrained_encoders_rank_cold_items_by_their_vectors(log, objective):
    model = rb.pretrain(log, **LONG, objective=objective, features=["emb"], id_dropout=0.3)
    assert load_ranker(model.run, log).item_vectors().shape[0] == log.n_rows
    assert cold_precision(model.run, log) > 0.8


def test_towers_go_on_from_an_encoder_that_reads_vectors(log):
    encoder = rb.pretrain(log, **TINY, features=["emb", "price"])
    model = rb.train_retrieval(log, init=encoder, train=TINY["train"], towers={"item_features": ["emb"]})
    vectors = load_ranker(model.run, log).item_vectors()
    assert np.isfinite(vectors).all()
    again = rb.train_retrieval(log, init=model, train=TINY["train"])
    assert load_ranker(again.run, log).item_vectors().shape == vectors.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id_dropout": 0.2}, "without features nothing would be left"),
        ({"id_dropout": 1.0, "features": ["emb"]}, r"id_dropout is 1\.0; it must lie in \[0, 1\)"),
        ({"features": ["nothing"]}, "has no item feature 'nothing'; it has emb, kind, price, zero"),
        ({"towers": {"item_features": ["nothing"]}}, "has no item feature 'nothing'; it has emb, kind, price, zero"),
        ({"towers": {"user_features": ["emb"]}}, "has no user feature 'emb'; it has age, zero"),
        ({"towers": {"adapter": "mlp"}}, "towers.adapter has no effect"),
    ],
)
def test_settings_that_do_not_suit_the_log_are_refused(log, settings, message):
    with pytest.raises(InputError, match=message):
        rb.train_retrieval(log, **{**TINY, **settings})
