"""Event weights, event types as context, and target types: what each does to trained models."""

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file

from recsys_bert.errors import InputError
from recsys_bert.retrieval.validation import drawn_queries, list_metrics
from recsys_bert.settings import make_config
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.fuse import fuse
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.pretrain import build, pretrain
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.train_retrieval import train_retrieval

TINY = {"encoder": {"dim": 8, "n_layers": 1, "max_len": 10}, "train": {"epochs": 1, "batch_size": 8, "lr": 0.02}}
TINY["train"] |= {"device": "cpu", "precision": "fp32"}
LOSSES = {"full": {"name": "full"}, "sampled": {"name": "sampled"}, "gbce": {"name": "gbce"}}
TOWERS = {name: {**loss, "similarity": "cosine"} for name, loss in LOSSES.items()}


def events(n_users=30, n_items=20):
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_users), 12),
            "item_id": random.integers(0, n_items, n_users * 12),
            "timestamp": 1_000_000 + 60 * np.tile(np.arange(12), n_users),
            "event": random.choice(["view", "purchase"], n_users * 12, p=[0.7, 0.3]),
        }
    )


@pytest.fixture(scope="module")
def logs():
    """The same log without weights, with weights of 1, and with purchases that weigh 50."""
    frame, typed = events(), {"event": "event"}
    logs = {"none": None, "ones": {"view": 1.0, "purchase": 1.0}, "fifty": {"view": 1.0, "purchase": 50.0}}
    return {
        name: prepare(frame, log={**typed, **({} if weights is None else {"events": weights})})
        for name, weights in logs.items()
    }


def weights_of(model):
    (file,) = [path for path in model.run.rglob("model.safetensors") if "checkpoints" not in path.parts]
    return load_file(file)


def same(first, second):
    one, other = weights_of(first), weights_of(second)
    return all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("objective", ["masked", "next_item", "replaced_token"])
def test_weights_reach_pretraining(logs, objective, loss):
    encoders = {name: pretrain(log, objective=objective, loss=LOSSES[loss], **TINY) for name, log in logs.items()}
    assert same(encoders["none"], encoders["ones"])
    assert not same(encoders["none"], encoders["fifty"])
    assert "event_weights_of_the_loss" not in encoders["ones"].summary
    assert encoders["fifty"].summary["event_weights_of_the_loss"] == "purchase 50, view 1"


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_reach_towers(logs, loss):
    towers = {name: train_retrieval(log, loss=TOWERS[loss], **TINY) for name, log in logs.items()}
    assert same(towers["none"], towers["ones"])
    assert not same(towers["none"], towers["fifty"])
    unweighted = train_retrieval(logs["fifty"], loss=TOWERS[loss], event_weights=False, **TINY)
    assert same(towers["none"], unweighted)


def test_weights_reach_negatives_as_an_option(logs):
    loss = {"name": "sampled", "negatives": {"in_batch": 8, "uniform": 8, "popularity_power": 1.0}}
    by_weight = {**loss, "negatives": {**loss["negatives"], "by_weight": True}}
    build_both = [
        build(make_config(PretrainConfig, None, dict(loss=one, **TINY)), logs["fifty"]) for one in (loss, by_weight)
    ]
    plain, weighted = (one.pretrained.prediction.item_loss.log_q.exp().numpy() for one in build_both)
    vocabulary = logs["fifty"].vocabulary
    first, counts, weights = vocabulary.first_item, vocabulary.counts, vocabulary.weights
    np.testing.assert_allclose(plain[first:], 16 * (counts / counts.sum())[first:], rtol=1e-5)
    np.testing.assert_allclose(weighted[first:], 16 * (weights / weights.sum())[first:], rtol=1e-5)
    draws = np.zeros(vocabulary.size)
    for epoch in range(60):
        for batch in build_both[1].batches(epoch):
            draws += np.bincount(batch["negatives"].ravel(), minlength=vocabulary.size)
    distances = [np.abs(draws / draws.sum() - expected / expected.sum()).sum() for expected in (weights, counts)]
    assert distances[0] < 0.15 < 0.2 < distances[1]  # first events are no targets, so not exactly


def test_only_events_of_the_target_types_are_learned_and_evaluated(logs):
    log = logs["none"]
    (code,) = log.event_type_codes(["purchase"])
    for objective in ("masked", "next_item", "replaced_token"):
        training = build(
            make_config(PretrainConfig, None, dict(objective=objective, target_types=("purchase",), **TINY)), log
        )
        items = log.histories.items[np.flatnonzero(log.histories.event_types == code)]
        batches = [batch for epoch in range(3) for batch in training.batches(epoch)]
        targets = np.concatenate([batch["targets"] for batch in batches])
        assert len(targets) > 0
        assert set(targets.tolist()) <= set(items.tolist())
    views = evaluate([], log, baselines=["popular"], target_types=["view"], ks=[10], indexes=[])
    purchases = evaluate([], log, baselines=["popular"], target_types=["purchase"], ks=[10], indexes=[])
    last = log.histories.event_types[log.histories.offsets[1:] - 1]
    users = [results.results["models"][0]["metrics"]["recall@10"]["n"] for results in (views, purchases)]
    assert users == [(last != code).sum(), (last == code).sum()]
    assert purchases.results["skipped"] == {"no test event of type purchase": int((last != code).sum())}
    assert "targets: purchase" in purchases.results["protocol"]["line"]


def test_the_next_item_follows_from_the_type_of_the_last_event():
    """Item 2i is followed by 2i + 1 after a view and by 2i + 2 after a purchase: nothing but the type tells."""
    random, rows = np.random.default_rng(0), []
    for user in range(150):
        item = int(random.integers(0, 10))
        for step in range(12):
            kind = random.choice(["view", "purchase"])
            rows.append((user, item, 1_000_000 + 60 * step, kind))
            item = (item + (1 if kind == "view" else 3)) % 10
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    log = prepare(frame, log={"event": "event"})
    settings = {"encoder": {"dim": 16, "n_layers": 1, "max_len": 12, "dropout": 0.0}, "item_init": "random"}
    settings["train"] = {"epochs": 12, "batch_size": 16, "lr": 0.01, "device": "cpu", "precision": "fp32"}
    recalls = {}
    for name, features in (("plain", []), ("typed", ["event_type"])):
        for stage in (pretrain, train_retrieval):
            model = stage(log, features=features, **settings)
            results = evaluate(model, log, baselines=[], ks=[1], indexes=[], seen=True).results
            recalls[name, stage.__name__] = results["models"][0]["metrics"]["recall@1"]["value"]
    assert all(recall > 0.9 for (name, _), recall in recalls.items() if name == "typed"), recalls
    assert all(recall < 0.7 for (name, _), recall in recalls.items() if name == "plain"), recalls


def test_settings_that_a_log_cannot_serve_are_refused(logs):
    untyped = prepare(events())
    for settings, message in (
        ({"features": ["event_type"]}, "no event types"),
        ({"target_types": ["purchase"]}, "no event type 'purchase'"),
        ({"event_weights": False}, "all events of the prepared log weigh the same"),
        ({"loss": {"name": "sampled", "negatives": {"in_batch": 4, "by_weight": True}}}, "by_weight is on"),
    ):
        for stage in (pretrain, train_retrieval):
            with pytest.raises(InputError, match=message):
                stage(untyped, **TINY, **settings)
    loss = {"name": "sampled", "negatives": {"in_batch": 4, "by_weight": True}}  # targets would be drawn alike
    for stage in (pretrain, train_retrieval):
        with pytest.raises(InputError, match="which event_weights off leaves out"):
            stage(logs["fifty"], loss=loss, event_weights=False, **TINY)
    with pytest.raises(InputError, match="no event type 'buy'; it has 'purchase', 'view'"):
        pretrain(logs["none"], target_types=["buy"], **TINY)
    with pytest.raises(InputError, match="name each once"):
        pretrain(logs["none"], target_types=["view", "view"], **TINY)


def test_event_types_keep_their_codes_in_a_log_that_grew(tmp_path):
    """Yesterday's run reads a type that came later as unknown, and trains on with a row for it."""
    frame = events()
    old = prepare(frame, log={"event": "event"}, out=tmp_path / "old")
    renamed = frame.with_columns(event=pl.when(pl.col("timestamp") % 7 == 0).then(pl.lit("cart")).otherwise("event"))
    new = prepare(renamed, log={"event": "event"}, vocabulary={"of": str(tmp_path / "old")}, out=tmp_path / "new")
    assert (old.event_types, new.event_types) == (["purchase", "view"], ["purchase", "view", "cart"])
    model = pretrain(old, features=["event_type"], out=tmp_path / "run", **TINY)
    results = evaluate(tmp_path / "run", new, baselines=[], indexes=[], ks=[10]).results
    assert results["protocol"]["users"] == 30
    train = {**TINY["train"], "epochs": 1}
    grown = pretrain(new, init=tmp_path / "run", train=train)
    tables = [one.ranker.pretrained.encoder.embeddings.features[0].num_embeddings for one in (model, grown)]
    assert tables == [4, 5]  # none, unknown, and the types
    with pytest.raises(InputError, match="event types purchase, view, which this log lacks"):
        prepare(frame, vocabulary={"of": str(tmp_path / "old")})


def test_a_fusion_is_chosen_on_events_of_the_target_types(logs):
    model = pretrain(logs["none"], **TINY)
    settings = {"weights": [0.5, 1.0], "smoothings": [0.01]}
    both = [fuse([model], logs["none"], target_types=types, **settings) for types in ([], ["purchase"])]
    tried = [[line["recall@10"] for line in fused.summary["tried"]] for fused in both]
    assert tried[0] != tried[1]
    queries = drawn_queries(logs["none"], 0, 0, ["purchase"])
    lists = model.ranker.rank(queries, 10)
    assert tried[1][0] == list_metrics(lists, queries.targets(), logs["none"].vocabulary.first_item, 10)["recall@10"]
