"""train-retrieval end to end: towers, index, mined negatives, resume, and what it refuses."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines import pretrain, train_retrieval
from pipelines.train_retrieval import Config
from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.files import read_json
from recsys_bert.losses import negatives as drawing
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.settings import read_config
from recsys_bert.training.checkpoints import latest_first

SMALL = EncoderConfig(dim=16, n_layers=1, max_len=20)
SIDES = {"item_features": ("category",), "user_features": ("age_group",)}


@pytest.fixture
def config(simulated, quick, tmp_path):
    loss = LossConfig(
        name="sampled", similarity="cosine", temperature=0.2, negatives=NegativesConfig(in_batch=40, uniform=20)
    )
    return Config(data=simulated.folder, out=tmp_path / "run", encoder=SMALL, loss=loss, train=quick())


@pytest.fixture(scope="module")
def pretrained(simulated, quick, tmp_path_factory):
    """A run of pretrain with a masked encoder that reads categories and times."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    timed = replace(SMALL, layer="hstu", times=True)
    pretrain.run(
        pretrain.Config(data=simulated.folder, out=out, encoder=timed, features=("category",), train=quick(epochs=1))
    )
    return out


def towers(config, **changes):
    return replace(config, towers=replace(config.towers, **changes))


def negatives(config, **changes):
    loss = replace(config.loss, negatives=replace(config.loss.negatives, **changes))
    return replace(config, loss=loss)


def weights(run):
    return load_file(run / "two_tower" / "model.safetensors")


def test_towers_on_a_pretrained_encoder_and_their_index(simulated, config, pretrained, quick):
    config = replace(config, encoder=EncoderConfig(), init=pretrained, train=quick(epochs=6, lr=0.01))
    results = train_retrieval.run(negatives(towers(config, **SIDES, id_dropout=0.1), mask_history_hits=True))
    written = {"checkpoints", "config.toml", "data.json", "index", "metrics.jsonl", "trained_on.json", "two_tower"}
    assert set(os.listdir(config.out)) == written | {"checksums.sha256"}
    ranker, queries = load_ranker(config.out, simulated), Queries.of(simulated, "validation")
    lists = ranker.rank(queries, 10)
    hits = [simulated.histories.items[stop] in row for stop, row in zip(queries.stop, lists, strict=True)]
    assert results["best"] <= np.mean(hits)  # NDCG@10 of one target is at most its recall
    assert np.mean(hits) > 0.2  # an eighth by chance
    trained = read_config(Config, config.out / "config.toml")  # what was trained, not what was left out
    assert (trained.encoder.dim, trained.encoder.vocab_size) == (16, simulated.vocabulary.size)
    assert (trained.features, trained.encoder.layer) == (("category",), "hstu")
    index = ItemIndex.load(config.out / "index")
    assert len(index) == results["items_indexed"] == simulated.n_rows - simulated.vocabulary.first_item
    loaded, _ = index.search(ranker.user_vectors(queries), 10, seen=queries.seen())
    np.testing.assert_array_equal(loaded, lists)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "rows"), [("full", False), ("sampled", False), ("sampled", True), ("gbce", False)])
def test_towers_without_pretraining(config, loss, rows, quick):
    train = quick(epochs=6, lr=0.01, optimiser={"sparse_adam": rows})
    loss = replace(config.loss, name=loss)
    results = train_retrieval.run(replace(config, features=("category",), crop="random", train=train, loss=loss))
    assert results["best"] > 0.1


@pytest.mark.slow
def test_every_technique_of_training_at_once_leaves_towers_like_any_others(simulated, config, quick):
    settings = {
        "averaging": {"method": "ema"},
        "adversarial": {"method": "fgm"},
        "auxiliary": {"weight": 0.8},
        "optimiser": {"layer_decay": 0.9},
        "schedule": {"name": "polynomial"},
    }
    encoder = replace(SMALL, fusion="scalar_mix", neck="bigru")
    train_retrieval.run(replace(config, encoder=encoder, train=quick(**settings)))
    loaded = load_ranker(config.out, simulated)  # refuses any weight too many
    assert not any(name.startswith("last.") for name in weights(config.out))
    assert np.isfinite(loaded.item_vectors()).all()


def test_a_pretrained_encoder_takes_another_dropout(config, pretrained):
    config = replace(config, encoder=EncoderConfig(), init=pretrained, encoder_dropout=0.35)
    train_retrieval.run(towers(config, **SIDES))
    assert read_json(config.out / "two_tower" / "config.json")["encoder"]["dropout"] == 0.35


def test_branches_of_a_pretrained_encoder_start_as_small_as_told(config, pretrained):
    still = replace(config, encoder=EncoderConfig(), init=pretrained, encoder_lr=1e-12, encoder_residual_scale=0.1)
    train_retrieval.run(towers(still, **SIDES))
    before = load_file(pretrained / "encoder" / "model.safetensors")
    after = weights(config.out)
    last = {"layers.0.out.weight", "layers.0.out.bias"}
    assert last < before.keys()
    for name, value in before.items():
        expected = 0.1 * value if name in last else value
        torch.testing.assert_close(after[f"encoder.{name}"], expected, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match=r"encoder_residual_scale is -1; it must be 0 or more"):
        replace(still, encoder_residual_scale=-1)


@pytest.mark.parametrize(("lr", "moved"), [(1e-12, 1e-6), (0.0, 0)])
def test_a_pretrained_encoder_moves_at_its_own_rate(config, pretrained, lr, moved):
    config = replace(towers(config, **SIDES), encoder=EncoderConfig(), init=pretrained, encoder_lr=lr)
    train_retrieval.run(config)
    before = load_file(pretrained / "encoder" / "model.safetensors")
    after = weights(config.out)
    for name, value in before.items():
        torch.testing.assert_close(after[f"encoder.{name}"], value, atol=moved, rtol=0)
    assert after["items.mlp.mlp.0.bias"].abs().max() > 1e-3  # began at no more than 1/√16, and moved


def test_mined_negatives_are_near_and_never_the_users_own(simulated, config, monkeypatch):
    config = negatives(config, hard_negatives=5, refresh_steps=4, skip_top=2)
    searches = []
    search = ItemIndex.search

    def noting(self, queries, k, seen=None):
        loaded = search(self, queries, k, seen=seen)
        searches.append(loaded[0])
        return loaded

    monkeypatch.setattr(ItemIndex, "search", noting)
    train_retrieval.run(config)  # 14 steps
    assert len(searches) == 3
    rows = load_file(latest_first(config.out)[0] / "model.safetensors")["item_loss.hard_rows"].numpy()
    np.testing.assert_array_equal(rows, searches[-1][:, 2:])  # the nearest two are passed over
    data, first = simulated.histories, simulated.vocabulary.first_item
    for user, mined in enumerate(rows):
        history = data.items[data.offsets[user] : data.train_end[user]]
        assert not np.isin(mined, history).any()
        assert len(set(mined)) == 5
        assert (mined >= first).all()


@pytest.mark.slow
def test_a_run_stopped_between_two_minings_goes_on_to_the_same_numbers(config, quick, tmp_path, monkeypatch):
    config = replace(config, train=quick(epochs=3))
    config = towers(negatives(config, hard_negatives=4, refresh_steps=5, mask_history_hits=True), dropout=0.2, **SIDES)
    train_retrieval.run(replace(config, out=tmp_path / "whole"))
    steps, hits = iter(range(100)), drawing.history_hits

    def clock(items, negatives):  # called once a batch
        if next(steps) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return hits(items, negatives)

    monkeypatch.setattr(drawing, "history_hits", clock)
    with pytest.raises(KeyboardInterrupt):
        train_retrieval.run(config)
    assert latest_first(config.out)[0].name == "step-9"
    assert not (config.out / "two_tower").exists()
    train_retrieval.run(config)
    expected = weights(tmp_path / "whole")
    assert all(torch.equal(value, expected[name]) for name, value in weights(config.out).items())


def test_a_finished_run_called_again_gives_the_same_files(config, files):
    train_retrieval.run(config)
    before = files(config.out)
    train_retrieval.run(config)
    assert files(config.out) == before
    with pytest.raises(InputError, match=r"loss\.temperature was 0\.2, now 0\.3"):
        train_retrieval.run(replace(config, loss=replace(config.loss, temperature=0.3)))
    assert files(config.out) == before


def test_what_cannot_be_trained_is_refused_and_leaves_no_folder(config, pretrained, other_vocabulary, quick, tmp_path):
    bare = replace(config, encoder=EncoderConfig(), init=pretrained)
    cases = {
        "trained on the vocabulary": replace(bare, data=other_vocabulary),
        "encoder.dim is 32, but init .* has 16": replace(bare, encoder=EncoderConfig(dim=32)),
        r"features are \['age'\], but init .* has \['category'\]": replace(bare, features=("age",)),
        "encoder.vocab_size is 7, but the data gives": replace(config, encoder=replace(SMALL, vocab_size=7)),
        "holds no pretrained encoder": replace(bare, init=tmp_path),
        "no item feature 'mood'": towers(config, item_features=("mood",)),
        "no user feature 'mood'": towers(config, user_features=("mood",)),
        "hard_negatives is 50 \\+ 60, but only .* items": negatives(config, skip_top=50, hard_negatives=60),
        "refresh_steps is 500, but the training has 14 steps": negatives(config, hard_negatives=5),
        "learns 256 centroids but there are only": replace(config, index=IndexConfig(factory="IVF256,Flat")),
        r"train\.monitor is 'auc'": replace(config, train=quick(monitor="auc")),
    }
    for message, bad in cases.items():
        with pytest.raises(InputError, match=message):
            train_retrieval.run(bad)
    with pytest.raises(InputError, match="FAISS cannot build 'Flatt'"):
        IndexConfig(factory="Flatt")
        assert not config.out.exists(), message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_lr": 0.1}, "encoder_lr is for a pretrained encoder"),
        ({"encoder": EncoderConfig(), "init": "run", "encoder_lr": -1.0}, r"encoder_lr is -1\.0; it must be 0 or more"),
        ({"encoder": EncoderConfig(), "init": "run", "encoder_lr": 0.0}, "there is nothing else to train"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(config, change, message):
    with pytest.raises(InputError, match=message):
        replace(config, **change)
