"""Two towers and pretraining on every prefix: what is trained on, which attention, and what fits it."""

import json

import pytest

from recsys_bert.errors import InputError
from recsys_bert.retrieval.load import open_run
from recsys_bert.settings import make_config
from recsys_bert.stages.pretrain import pretrain
from recsys_bert.stages.train_retrieval import _batches, train_retrieval
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig

TRAIN = {"epochs": 1, "batch_size": 32, "lr": 1e-2, "device": "cpu", "precision": "fp32"}
SMALL = {"encoder": {"dim": 8, "n_layers": 1, "n_heads": 2, "max_len": 5}, "train": TRAIN}


def test_batches_hold_every_prefix_before_its_target(side_log):
    """Against a loop over users and events."""
    config = make_config(TrainRetrievalConfig, None, {"crop": "every", **SMALL})
    histories, first = side_log.histories, side_log.vocabulary.first_item
    expected = []
    for user in range(histories.n_users):
        events = histories.items[histories.offsets[user] : histories.train_end[user]].tolist()
        expected += [(user, events[max(0, n - 5) : n], item) for n, item in enumerate(events) if n and item >= first]
    examples = []
    for batch in _batches(side_log, config, side_log.vocabulary.counts)(0):
        for position, target in zip(batch["positions"], batch["targets"], strict=True):
            row, column = divmod(int(position), batch["tokens"].shape[1])
            tokens = batch["tokens"][row]
            assert not tokens[column + 1 :].any()
            examples.append((int(batch["users"][row]), tokens[: column + 1].tolist(), int(target)))
    assert sorted(examples) == sorted(expected)


@pytest.mark.parametrize("layer", ["pre_norm", "bsarec", "wearec"])
def test_towers_read_both_ways_and_are_opened_again(side_log, tmp_path, layer):
    settings = SMALL | {"encoder": SMALL["encoder"] | {"layer": layer}}
    model = train_retrieval(side_log, crop="every", out=tmp_path / "run", **settings)
    assert not model.ranker.model.encoder.config.causal
    users = side_log.users["user_id"].to_list()[:5]
    lists = model.recommend(users, k=3)
    assert open_run(tmp_path / "run", side_log).item_vectors().shape == model.ranker.item_vectors().shape
    assert lists.shape[0] == 15
    going_on = train_retrieval(side_log, init=model, crop="every", train=TRAIN)
    assert going_on.ranker.model.encoder.config.layer == layer


def test_a_layer_that_cannot_be_causal_is_refused_in_one_causal_pass(side_log):
    settings = SMALL | {"encoder": SMALL["encoder"] | {"layer": "wearec"}}
    with pytest.raises(InputError, match=r"layer 'wearec' .* cannot be causal\. Train towers with crop 'every'"):
        train_retrieval(side_log, **settings)
    model = train_retrieval(side_log, crop="every", **settings)
    with pytest.raises(InputError, match="layer 'wearec'"):
        train_retrieval(side_log, init=model, train=TRAIN)


@pytest.mark.parametrize("objective", ["last_item", "masked"])
def test_pretraining_on_every_prefix_counts_prefixes(side_log, objective):
    model = pretrain(side_log, objective=objective, crop="every", **SMALL)
    counts = side_log.histories.train_end - side_log.histories.offsets[:-1]
    steps = [json.loads(line)["step"] for line in (model.run / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == -(-(counts - 1).sum() // 32)
