"""Yesterday's run on today's log: served as it is, or trained on with a grown table."""

import numpy as np
import polars as pl
import pytest
import torch

from recsys_bert.errors import InputError
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.fuse import fuse
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.pretrain import build, pretrain
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.training.config import TrainConfig

ENCODER = {"dim": 8, "n_layers": 1, "n_heads": 2, "max_len": 10, "init_std": 0.3}
TRAIN = {"epochs": 2, "batch_size": 16, "lr": 0.01, "device": "cpu", "precision": "fp32"}
SAMPLED = {"negatives": {"in_batch": 4, "uniform": 4}}
N_OLD, N_NEW = 30, 6
FEATURES = {"item_features": {"categorical": ["kind"]}, "user_features": {"categorical": ["age"]}}


def events(random, users, n_items, n_events, start):
    return [
        (user, int(item), start + 60 * position)
        for user in users
        for position, item in enumerate(random.permutation(n_items)[:n_events])
    ]


def frame(rows):
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def tables(n_items, n_users):
    return {
        "items": pl.DataFrame({"item_id": range(n_items), "kind": [f"kind {n // 6}" for n in range(n_items)]}),
        "users": pl.DataFrame({"user_id": range(n_users), "age": [f"age {n // 20}" for n in range(n_users)]}),
    }


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Yesterday's log, and today's: more users, items, kinds and ages."""
    folder, random = tmp_path_factory.mktemp("logs"), np.random.default_rng(0)
    old = events(random, range(40), N_OLD, 8, 0)
    today = events(random, range(20, 60), N_OLD + N_NEW, 7, 10**6)
    yesterday = prepare(frame(old), **tables(N_OLD, 40), **FEATURES, out=folder / "yesterday")
    settings = {**FEATURES, "vocabulary": {"of": yesterday}, "out": folder / "today"}
    return yesterday, prepare(frame(old + today), **tables(N_OLD + N_NEW, 60), **settings)


@pytest.fixture(scope="module")
def runs(logs, tmp_path_factory):
    """Runs on yesterday's log: a plain encoder, one with features, towers without and with features."""
    folder, (old, _) = tmp_path_factory.mktemp("runs"), logs
    common = {"encoder": ENCODER, "train": TRAIN}
    pretrain(old, **common, out=folder / "encoder")
    pretrain(old, **common, features=["kind"], objective="masked", out=folder / "features")
    train_retrieval(old, **common, loss=SAMPLED, out=folder / "towers")
    towers = {"item_features": ["kind"], "user_features": ["age"], "hidden": 6, "id_dropout": 0.2}
    train_retrieval(old, **common, loss=SAMPLED, towers=towers, out=folder / "feature_towers")
    return folder


NAMES = ("encoder", "features", "towers", "feature_towers")


def known_users(dataset, n_known):
    """Users all of whose items are among the first rows."""
    histories = np.split(dataset.histories.items, dataset.histories.offsets[1:-1])
    known = [items.min() >= 3 and items.max() < n_known for items in histories]
    return dataset.user_ids.filter(pl.Series(known)).to_list()


@pytest.mark.parametrize("name", NAMES)
def test_scores_on_a_newer_log_are_those_of_typed_histories(runs, logs, name, in_float32, capsys):
    old, new = logs
    older, newer = Recommender.load(runs / name, old), Recommender.load(runs / name, new)
    assert f"{name} was trained before {new.vocabulary.size - old.vocabulary.size} of" in capsys.readouterr().err
    users = [user for user in known_users(new, old.vocabulary.size) if user < 40][:8]
    assert len(users) > 3
    if name == "feature_towers":  # typed histories have no age
        queries = newer.user_vectors(users)["vector"].to_numpy()
        assert np.isfinite(queries).all()
        ids = newer.recommend(users=users, k=N_OLD + N_NEW, exclude_seen=False)["item_id"].to_list()
        assert set(range(N_OLD, N_OLD + N_NEW)) & set(ids)  # new items, by their features
        return
    histories = [new.history(user) for user in users]
    served = newer.recommend(users=users, k=10)
    typed = older.recommend(histories=histories, k=10)
    assert served["item_id"].to_list() == typed["item_id"].to_list()
    np.testing.assert_allclose(served["score"], typed["score"], rtol=1e-5, atol=1e-6)
    assert max(served["item_id"]) < N_OLD  # new items are not recommended
    late = next(user for user in new.user_ids if user not in known_users(new, old.vocabulary.size))
    unknown = [item if item is not None and item < N_OLD else 10**6 for item in new.history(late)]
    served, typed = newer.recommend(users=[late], k=5), older.recommend(histories=[unknown], k=5)
    if name == "encoder":  # read as unknown; an encoder with features reads those of the new items as well
        assert served["item_id"].to_list() == typed["item_id"].to_list()


def test_a_newer_log_is_evaluated_and_fused_without_training(runs, logs, tmp_path):
    _, new = logs
    fused = fuse([runs / "towers"], new, out=tmp_path / "fused", weights=[1.0], smoothings=[0.01])
    assert max(fused.recommend(k=10)["item_id"]) < N_OLD
    models = [runs / "towers", runs / "feature_towers", tmp_path / "fused"]
    report = evaluate(models, new, samples=0, indexes=["SQ8"])
    assert report.table.height == 3 + 4
    notes = " ".join(report.results["notes"])
    assert "towers was trained before" in notes
    assert "not recommended" in notes
    assert "ranked by their features" in notes
    in_memory = Recommender.load(runs / "towers", logs[0])
    same = evaluate({"towers": in_memory}, new, samples=0, indexes=(), baselines=[])
    assert same.table["ndcg@10"][0] == report.table["ndcg@10"][0]


def test_an_index_of_yesterday_is_searched_and_says_what_it_lacks(runs, logs, capsys):
    recommender = Recommender.load(runs / "towers", logs[1], runs / "towers" / "index")
    assert "not hold" in capsys.readouterr().err
    exact = Recommender.load(runs / "towers", logs[1])
    assert recommender.recommend([1, 2], k=5)["item_id"].to_list() == exact.recommend([1, 2], k=5)["item_id"].to_list()


def test_a_log_that_did_not_grow_from_it_is_refused(runs, logs, tmp_path):
    other = prepare(frame(events(np.random.default_rng(5), range(30), N_OLD, 8, 0)), out=tmp_path / "other")
    for name in NAMES:
        with pytest.raises(InputError, match=r"--vocabulary\.of"):
            Recommender.load(runs / name, other)


def test_old_rows_of_a_grown_encoder_are_bit_equal_and_new_ones_near_their_neighbours(runs, logs):
    old, new = logs
    for name in ("encoder", "features"):
        before = Recommender.load(runs / name, old).ranker.pretrained.encoder.state_dict()
        train = TrainConfig(**TRAIN)
        objective = "masked" if name == "features" else "next_item"
        after = build(PretrainConfig(init=runs / name, objective=objective, train=train), new).pretrained.encoder
        for key, weight in after.state_dict().items():
            assert torch.equal(weight[: len(before[key])] if weight.ndim else weight, before[key]), key
        table = after.embeddings.token.weight.detach()
        assert len(table) == new.vocabulary.size == old.vocabulary.size + N_NEW
        lengths = table[old.vocabulary.first_item :].norm(dim=1)
        assert 0.5 < lengths[-N_NEW:].mean() / lengths[:-N_NEW].mean() < 2


def test_item_init_of_a_grown_table(runs, logs):
    old, new = logs
    config = {"init": runs / "encoder", "train": TrainConfig(**TRAIN)}
    tables = [build(PretrainConfig(**config, item_init=init), new) for init in ("auto", "ppmi", "random")]
    auto, ppmi, random = (one.pretrained.encoder.embeddings.token.weight for one in tables)
    assert torch.equal(auto, ppmi)
    assert torch.equal(auto[:-N_NEW], random[:-N_NEW])
    assert not torch.equal(auto[-N_NEW:], random[-N_NEW:])
    assert [one.config.item_init for one in tables] == ["ppmi", "ppmi", "random"]
    with pytest.raises(InputError, match="item_init is 'random', but init knows all items"):
        build(PretrainConfig(**config, item_init="random"), old)


@pytest.mark.parametrize("name", ["towers", "feature_towers"])
def test_towers_go_on_with_a_grown_table(runs, logs, tmp_path, name, monkeypatch):
    old, new = logs
    before = Recommender.load(runs / name, old).ranker.model.state_dict()
    starts = []

    def no_training(module, *args, **options):
        starts.append({key: weight.clone() for key, weight in module.state_dict().items()})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("recsys_bert.training.loop.fit", no_training)
        with pytest.raises(KeyboardInterrupt):
            train_retrieval(new, init=runs / name, train=TRAIN, loss=SAMPLED, out=tmp_path / "stopped")
    for key, weight in before.items():
        if not key.startswith("item_loss."):
            assert torch.equal(starts[0][key][: len(weight)], weight), key
    model = train_retrieval(new, init=runs / name, train=TRAIN, loss=SAMPLED, out=tmp_path / "on")
    assert model.ranker.shape[0] == new.n_rows == old.n_rows + N_NEW
    assert len(Recommender.load(tmp_path / "on", new, tmp_path / "on" / "index").index) == N_OLD + N_NEW
    assert set(model.recommend(k=N_OLD + N_NEW, exclude_seen=False)["item_id"]) == set(range(N_OLD + N_NEW))
    assert prepare(
        frame(events(np.random.default_rng(7), range(9), 50, 8, 0)),
        vocabulary={"of": model},
        **({**tables(50, 9), **FEATURES}),
    ).known_to(new.fingerprint)


def test_towers_that_go_on_keep_their_settings(runs, logs, tmp_path):
    with pytest.raises(InputError, match=r"towers\.hidden is 9, but init .*feature_towers has 6"):
        train_retrieval(
            logs[1], init=runs / "feature_towers", towers={"item_features": ["kind"], "hidden": 9}, out=tmp_path / "a"
        )
    with pytest.raises(InputError, match=r"loss\.similarity is dot, but init .*towers has cosine"):
        train_retrieval(logs[1], init=runs / "towers", loss={"similarity": "dot"}, out=tmp_path / "a")
    with pytest.raises(InputError, match=r"teacher .* knows 30 of the 36 items"):
        pretrain(logs[1], teacher=runs / "encoder", encoder=ENCODER, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
