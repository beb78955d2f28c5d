"""Two towers: their loss against plain loops, and what each side may and may not see."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.next_item import next_item
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.retrieval.negatives import HardNegativeMiner
from recsys_bert.retrieval.two_tower import build_two_tower
from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker, load_two_tower, save_two_tower
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.user_encoder.checkpoint import feature_configs

SIDES = {"item_features": ("kind", "tags"), "user_features": ("age",)}


@pytest.fixture
def towers(side_log, encoder):
    """``towers(loss, **settings of TowersConfig)`` in evaluation mode."""

    def build(loss=TOWERS_LOSS, settings=None, **changes):
        config = TowersConfig(**{"dropout": 0.0, **changes})
        return build_two_tower(encoder(**(settings or {})), config, loss, side_log).eval()

    return build


@pytest.fixture
def batch(side_log):
    """Six users' next-item pairs, and negatives among which targets recur."""
    users = np.arange(6)
    data = side_log.histories
    items, lengths = data.gather(data.offsets[users], data.train_end[users], 8)
    pairs = next_item(items, lengths, side_log.vocabulary.first_item) | {"users": users}
    negatives = np.random.default_rng(3).integers(3, 20, (6, 4))
    pairs["negatives"] = np.concatenate([np.tile(pairs["targets"][:5], (6, 1)), negatives], axis=1).astype(np.int64)
    del pairs["n_targets"]
    return {name: torch.from_numpy(value) for name, value in pairs.items()}


def vectors(model, batch):
    """User vectors of all pairs and vectors of all catalogue rows, one by one."""
    items = torch.cat([model.item_side(torch.tensor([row])) for row in range(model.n_rows)])
    hidden = model.encoder(batch["tokens"], features=model.encoder_features(batch["tokens"])).tokens
    width = batch["tokens"].shape[1]
    pairs = [divmod(int(position), width) for position in batch["positions"]]
    users = torch.cat([model.user_side(hidden[row, column][None], batch["users"][row][None]) for row, column in pairs])
    return users.detach().double(), items.detach().double(), [row for row, _ in pairs]


def mixed(changes=None, **negatives):
    """The towers' loss with other settings."""
    return replace(TOWERS_LOSS, **(changes or {}), negatives=replace(TOWERS_LOSS.negatives, **negatives))


def plain_loss(model, batch, log_q, hidden=None, hard_negatives=None):
    """Softmax over the target and what is left of the negatives, pair by pair."""
    users, items, rows = vectors(model, batch)
    losses = []
    for i, (target, row) in enumerate(zip(batch["targets"].tolist(), rows, strict=True)):
        right = math.exp(users[i] @ items[target] - log_q[target])
        others = 0.0
        for j, negative in enumerate(batch["negatives"][row].tolist()):
            if negative != target and not (hidden is not None and hidden[row, j]):
                others += math.exp(users[i] @ items[negative] - log_q[negative])
        for negative in hard_negatives[batch["users"][row]] if hard_negatives is not None else []:
            if negative >= model.first_item and negative != target:
                others += math.exp(users[i] @ items[negative])
        losses.append(-math.log(right / (right + others)))
    return np.mean(losses)


def expected_log_q(side_log, model):
    vocabulary, config = side_log.vocabulary, model.item_loss.config.negatives
    draws = config.in_batch * vocabulary.counts / vocabulary.counts.sum() + config.uniform / vocabulary.n_items
    return np.log(draws)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("sides", [{}, SIDES], ids=["ids", "features"])
def test_mixed_loss_with_log_q_matches_a_plain_loop(side_log, towers, batch, similarity, sides):
    compared = {"similarity": similarity, "temperature": 0.5 if similarity == "cosine" else TOWERS_LOSS.temperature}
    model = towers(mixed(compared, in_batch=40, uniform=10), **sides)
    expected = plain_loss(model, batch, expected_log_q(side_log, model))
    assert model(batch).item() == pytest.approx(expected, rel=1e-4)
    plain = towers(mixed(compared, log_q=False), **sides)
    expected = plain_loss(plain, batch, np.zeros(side_log.vocabulary.size))
    assert plain(batch).item() == pytest.approx(expected, rel=1e-4)


def test_negatives_in_the_history_are_masked_out(side_log, towers, batch):
    model = towers(mixed(mask_history_hits=True))
    hits = torch.rand(*batch["negatives"].shape, generator=torch.Generator().manual_seed(0)) < 0.4
    expected = plain_loss(model, batch, expected_log_q(side_log, model), hidden=hits)
    assert model(batch | {"history_hits": hits}).item() == pytest.approx(expected, rel=1e-4)
    assert model(batch).item() != pytest.approx(expected, rel=1e-3)


def test_mined_negatives_are_scored_for_their_user_alone(side_log, towers, batch):
    model = towers(mixed(hard_negatives=3))
    without = model(batch).item()  # nothing is mined yet: zeros are no items
    assert without == pytest.approx(plain_loss(model, batch, expected_log_q(side_log, model)), rel=1e-4)
    first, size = model.first_item, side_log.vocabulary.size
    mined = torch.randint(first, size, (40, 3), generator=torch.Generator().manual_seed(1))
    mined[0, 1] = 0  # the user had no more
    mined[1, 0] = batch["targets"][batch["positions"] // batch["tokens"].shape[1] == 1][0]
    expected = plain_loss(model, batch, expected_log_q(side_log, model), hard_negatives=mined)
    model.item_loss.hard_rows = mined
    assert model(batch).item() == pytest.approx(expected, rel=1e-4)
    assert expected > without


def test_cold_items_are_never_mined(side_log, towers):
    model = towers(mixed(hard_negatives=5, refresh_steps=3), **SIDES)
    ranker, size = TwoTowerRanker(model), side_log.vocabulary.size
    assert ranker.shape[0] > size
    miner = HardNegativeMiner(model, model.item_loss, ranker, side_log, IndexConfig(factory="Flat"), n_steps=9)
    miner(3)
    mined = model.item_loss.hard_rows.numpy()
    assert model.first_item <= mined[mined > 0].min() <= mined.max() < size
    items, users = ranker.item_vectors(), ranker.user_vectors(miner.queries)
    for query, user in enumerate(miner.queries.users):  # the nearest of the trained ones outside the history
        scores = users[query] @ items[:size].T
        scores[: model.first_item] = -1e9
        scores[side_log.histories.items[miner.queries.start[query] : miner.queries.stop[query]]] = -1e9
        np.testing.assert_allclose(np.sort(scores[mined[user]]), np.sort(scores)[-5:], rtol=1e-4)


@pytest.mark.parametrize("sides", [{}, SIDES], ids=["ids", "features"])
def test_full_loss_is_cross_entropy_over_the_catalogue(towers, batch, sides):
    model = towers(LossConfig(similarity="cosine"), **sides)
    users, items, _ = vectors(model, batch)
    logits = users @ items[model.first_item : model.encoder.config.vocab_size].T
    expected = F.cross_entropy(logits, batch["targets"].long() - model.first_item)
    assert model(batch).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("sides", [{}, SIDES], ids=["ids", "features"])
def test_gbce_of_towers_matches_the_formula(side_log, towers, batch, sides):
    model = towers(mixed({"name": "gbce", "calibration": 0.5}), **sides)
    users, items, rows = vectors(model, batch)
    k, losses = batch["negatives"].shape[1], []
    log_q = expected_log_q(side_log, model) - math.log(128 / side_log.vocabulary.n_items)  # 0 were the draws uniform
    rate = k / (side_log.vocabulary.n_items - 1)
    beta = rate * (0.5 * (1 - 1 / rate) + 1 / rate)
    for i, (target, row) in enumerate(zip(batch["targets"].tolist(), rows, strict=True)):
        negatives = [negative for negative in batch["negatives"][row].tolist() if negative != target]
        scores = users[i] @ items[negatives].T - torch.from_numpy(log_q[negatives])
        positive = users[i] @ items[target] - log_q[target]
        losses.append((beta * F.softplus(-positive) + F.softplus(scores).sum()).item() / (k + 1))
    assert model(batch).item() == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("loss", ["sampled", "full"])
def test_the_auxiliary_loss_compares_the_last_layer_as_it_is(side_log, encoder, batch, loss):
    config, loss = TowersConfig(dropout=0.0, user_features=("age",)), replace(TOWERS_LOSS, name=loss)
    torch.manual_seed(0)
    model = build_two_tower(encoder(neck="bigru", fusion="scalar_mix"), config, loss, side_log, auxiliary=0.8).eval()
    total, (model.last, last) = model(batch).item(), (None, model.last)
    main = model(batch).item()
    raw = model.encoder.forward
    model.encoder.forward = lambda *args, **named: replace(
        settings := raw(*args, **named), tokens=last(settings.states[-1])
    )
    assert total == pytest.approx(0.8 * model(batch).item() + 0.2 * main, rel=1e-5)
    assert model(batch).item() != pytest.approx(main, rel=1e-3)


def test_a_cold_item_is_what_its_features_say(side_log, towers):
    item_vectors = TwoTowerRanker(towers(**SIDES)).item_vectors()
    size = side_log.vocabulary.size
    assert item_vectors.shape == (side_log.n_rows, 16)
    assert side_log.n_rows == size + 4
    cold = item_vectors[size:]
    assert np.linalg.matrix_rank(cold) == 4  # four kinds and tags, four vectors
    known = towers(**SIDES)
    with torch.no_grad():
        changed = known.encoder.embeddings.token.weight
        changed[UNKNOWN + 1 :] += 1.0
        np.testing.assert_array_equal(TwoTowerRanker(known).item_vectors()[size:], cold)  # no embedding of its own
    assert len(TwoTowerRanker(towers()).item_vectors()) == size  # without features there is nothing to tell


def test_id_dropout_hides_embeddings_in_training_alone(side_log, towers):
    model = towers(id_dropout=0.5, **SIDES)
    rows = torch.full((400,), side_log.vocabulary.first_item)
    assert len(model.item_side(rows).unique(dim=0)) == 1
    model.train()
    torch.manual_seed(0)
    distinct, counts = model.item_side(rows).unique(dim=0, return_counts=True)
    assert len(distinct) == 2
    assert counts.min() > 150


def test_later_items_change_no_earlier_user_vector(side_log, towers, batch):
    model = towers(**SIDES)
    before = vectors(model, batch)[0]
    tokens = batch["tokens"].clone()
    tokens[:, 4:][tokens[:, 4:] > 0] = side_log.vocabulary.first_item
    after = vectors(model, batch | {"tokens": tokens})[0]
    column = batch["positions"] % tokens.shape[1]
    torch.testing.assert_close(after[column < 4], before[column < 4])
    assert not torch.allclose(after[column >= 4], before[column >= 4])


def test_user_features_count_for_users_of_the_log_only(side_log, towers):
    ranker = TwoTowerRanker(towers(**SIDES))
    data = side_log.histories
    queries = Queries.of(side_log, "test")
    known_users = ranker.user_vectors(queries)
    lists = [data.items[start:stop] for start, stop in zip(queries.start, queries.stop, strict=True)]
    typed = ranker.user_vectors(Queries.from_lists(lists))
    assert np.abs(known_users - typed).max(axis=1).min() > 1e-3  # nobody's age is known there
    again = ranker.user_vectors(Queries.from_lists([[5, 6], *lists]))  # another place is no other user
    np.testing.assert_allclose(again[1:], typed, atol=1e-4)
    many = ranker.user_vectors(Queries.from_lists([[5, 6]] * 60))  # more than the log has users
    np.testing.assert_allclose(many, np.tile(again[:1], (60, 1)), atol=1e-4)


@pytest.mark.usefixtures("in_float32")
def test_user_vectors_are_those_of_histories_one_by_one(side_log, towers):
    model = towers(settings={"features": feature_configs(side_log, ("kind", "tags"))}, **SIDES)
    queries = Queries.of(side_log, "test")
    together = TwoTowerRanker(model).user_vectors(queries)
    for i in range(len(queries)):
        start, stop = queries.start[i], queries.stop[i]
        tokens = torch.from_numpy(side_log.histories.items[start:stop][-12:].astype(np.int64))[None]
        with torch.no_grad():
            hidden = model.encoder(tokens, features=model.encoder_features(tokens)).tokens[:, -1]
            alone = model.user_side(hidden, torch.tensor([queries.users[i]]))
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


def test_a_cold_item_in_a_history_is_read_as_unknown_with_its_features(side_log, towers):
    model = towers(settings={"features": feature_configs(side_log, ("kind",))})
    size = side_log.vocabulary.size
    item_vectors = TwoTowerRanker(model).user_vectors(Queries.from_lists([[5, size], [5, size + 1], [5, UNKNOWN]]))
    assert np.abs(item_vectors[0] - item_vectors[1]).max() > 1e-3
    assert np.abs(item_vectors[0] - item_vectors[2]).max() > 1e-3


def test_every_parameter_learns(towers, batch):
    model = towers(mixed(hard_negatives=2), **SIDES).train()
    model(batch).backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not idle


def test_save_and_load_are_exact(side_log, towers, tmp_path):
    model = towers(mixed(hard_negatives=2, refresh_steps=7), **SIDES)
    save_two_tower(tmp_path / "run" / "two_tower", model, side_log)
    loaded = load_ranker(tmp_path / "run", side_log)
    queries = Queries.of(side_log, "test")
    np.testing.assert_array_equal(loaded.item_vectors(), TwoTowerRanker(model).item_vectors())
    np.testing.assert_array_equal(loaded.user_vectors(queries), TwoTowerRanker(model).user_vectors(queries))
    assert loaded.name == "run"


def test_towers_of_another_vocabulary_and_damaged_ones_are_refused(side_log, towers, tmp_path):
    folder = tmp_path / "two_tower"
    save_two_tower(folder, towers(), side_log)
    config = folder / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"prepared": "another"}))
    write_checksums(folder)
    with pytest.raises(InputError, match="trained on the vocabulary another"):
        load_two_tower(tmp_path, side_log)
    config.write_text(json.dumps(settings))
    write_checksums(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"model.safetensors is damaged"):
        load_two_tower(tmp_path, side_log)


@pytest.mark.parametrize(("kind", "known"), [("item", "kind, tags"), ("user", "age")])
def test_features_that_are_not_there_are_refused(towers, kind, known):
    with pytest.raises(InputError, match=f"no {kind} feature 'mood'; it has {known}"):
        towers(**{f"{kind}_features": ("mood",)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id_dropout": 1.0}, r"towers.id_dropout is 1.0"),
        ({"user_features": ("age", "age")}, "towers.user_features are age, age: name each once"),
        ({"hidden": 0}, r"towers.hidden is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        TowersConfig(**settings)


def test_masked_embeddings_without_features_are_refused(side_log):
    with pytest.raises(InputError, match=r"towers.id_dropout masks an item's embedding; name towers.item_features"):
        train_retrieval(side_log, towers={"id_dropout": 0.5})
