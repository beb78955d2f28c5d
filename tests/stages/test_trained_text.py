"""A text encoder that is trained with two towers: the step against all items encoded, runs, new items, bad input."""

import contextlib
import shutil

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import recsys_bert as rb
from nlp_tasks.config import TokenizerConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from pipelines.cli import main
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.item_texts.training_config import TextTrainingConfig
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.retrieval.two_tower import build_two_tower
from recsys_bert.settings import make_config
from recsys_bert.stages.pretrain import build
from recsys_bert.stages.pretrain_config import PretrainConfig
from recsys_bert.stages.train_retrieval import _batches
from recsys_bert.stages.train_retrieval_config import TrainRetrievalConfig
from recsys_bert.training.step import OptimiserStep, to_device
from recsys_bert.user_encoder.checkpoint import feature_configs
from recsys_bert.user_encoder.trained_text import TrainedText

WORDS = ["nail polish red", "hair shampoo dry", "lip balm soft", "face cream night"]
N_ITEMS, N_COLD = 32, 6
SETTINGS = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 10},
    "train": {"epochs": 2, "batch_size": 16, "device": "cpu", "precision": "fp32"},
    "text": "trained",
    "text_dim": 8,
    "text_training": {"lr": 1e-2},
}


def title(item):
    return f"{WORDS[item % 4]} number{item % 7} {'deluxe' if item % 3 else 'mini'}"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Vectors of the texts at the start are written here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """80 users and 38 items in four groups of words, 6 of them cold; item 3 has no text."""
    random, rows = np.random.default_rng(0), []
    for user in range(80):
        items = random.permutation(np.arange(user % 4, N_ITEMS, 4))[:6]
        rows += [(user, int(item), 1_000_000 + 3_600 * position) for position, item in enumerate(items)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    titles = [None if item == 3 else title(item) for item in range(N_ITEMS + N_COLD)]
    items = pl.DataFrame({"item_id": range(N_ITEMS + N_COLD), "title": titles})
    out = tmp_path_factory.mktemp("log") / "data"
    return rb.prepare(events, items=items, item_features={"text": ["title"]}, out=out)


@pytest.fixture(scope="module")
def text_encoder():
    """From random weights: two layers, 12 wide."""
    tokenizer = Tokenizer.train([title(item) for item in range(N_ITEMS)], TokenizerConfig(min_count=1))
    torch.manual_seed(0)
    sizes = EncoderConfig(
        dim=12, n_layers=2, n_heads=2, dropout=0.0, max_len=24, vocab_size=tokenizer.size, position="start"
    )
    return TextEncoder(Encoder(sizes).eval(), tokenizer)


@pytest.fixture(scope="module")
def towers(log, text_encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "towers"
    return rb.train_retrieval(log, out=out, text_encoder=text_encoder, **SETTINGS)


def towers_with_text(log, text_encoder, loss, **training):
    """Towers as a training begins, and a batch."""
    torch.manual_seed(1)
    config = TextTrainingConfig(**training)
    dataset = log.with_dense("text", TrainedText(log, text_encoder, 8, config, "fp32"))
    sizes = EncoderConfig(
        dim=16, n_layers=1, n_heads=2, dropout=0.0, attention="causal", max_len=10, vocab_size=log.vocabulary.size
    )
    encoder = Encoder(sizes.__class__(**{**vars(sizes), "features": feature_configs(dataset, ("text",))}))
    model = build_two_tower(encoder, TowersConfig(item_features=("text",)), loss, dataset)
    for adapter in (*model.items.adapters, encoder.embeddings.features[0]):
        nn.init.normal_(adapter.out.weight)  # at its start of 0 no gradient would reach the texts
    settings = TrainRetrievalConfig(encoder=encoder.config, loss=loss, text="trained")
    batch = next(iter(_batches(dataset, settings, log.vocabulary.counts)(0)))
    return model.train(), to_device(batch, torch.device("cpu"))


def every_item_encoded(texts):
    """Numbers of all rows with gradients, one text after the other, by the encoder and the tokenizer alone."""
    encoder, tokenizer = texts.encoder.encoder, texts.encoder.tokenizer
    table = torch.zeros(len(texts), texts.width)
    for row, text in enumerate(texts.texts):
        if text:
            tokens = torch.tensor([[tokenizer.cls, *tokenizer([text]).ids.tolist(), tokenizer.sep]])
            vector = F.normalize(encoder(tokens).tokens[0].mean(0), dim=0)
            projected = F.normalize((vector - texts.mean) @ texts.components, dim=0) * 8**0.5
            table = table.index_put((torch.tensor([row]),), projected)
    return table


def gradients(model, batch):
    model.zero_grad()
    loss = model(batch)
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("training", [{}, {"chunk": 30}, {"chunk": 30, "checkpointing": True}])
def test_a_step_has_the_loss_and_gradients_of_all_items_encoded(log, text_encoder, training, monkeypatch):
    loss = LossConfig(name="sampled", similarity="cosine", negatives=NegativesConfig(in_batch=3, uniform=4))
    model, batch = towers_with_text(log, text_encoder, loss, **training)
    encoded, read = [], model.texts.encoder.vectors
    monkeypatch.setattr(model.texts.encoder, "vectors", lambda inputs, at: encoded.append(at) or read(inputs, at))
    mine, my_gradients = gradients(model, batch)
    parts = encoded[: len(encoded) // 2] if training.get("checkpointing") else encoded  # then each is read again
    examples = np.concatenate(parts)
    assert len(examples) == len(np.unique(examples))
    assert max(len(part) * int(model.texts.lengths[part].max()) for part in parts) <= training.get("chunk", 4096)
    table = every_item_encoded(model.texts)
    monkeypatch.setattr(model.texts, "batch", lambda *rows: contextlib.nullcontext())
    monkeypatch.setattr(model.texts, "forward", lambda rows: table[rows])
    theirs, their_gradients = gradients(model, batch)
    assert mine == pytest.approx(theirs, rel=1e-5)
    assert my_gradients.keys() == their_gradients.keys()
    assert any(name.startswith("texts.") and gradient.abs().max() > 1e-6 for name, gradient in my_gradients.items())
    for name, gradient in my_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_a_bounded_step_encodes_targets_first_and_others_take_part_as_they_were(log, text_encoder, monkeypatch):
    model, batch = towers_with_text(log, text_encoder, LossConfig(name="full"), max_items=9)
    before, texts = model.texts.last.clone(), model.texts
    encoded, read = [], texts.encoder.vectors
    monkeypatch.setattr(texts.encoder, "vectors", lambda inputs, at: encoded.append(at) or read(inputs, at))
    with torch.no_grad():
        for parameter in texts.parameters():
            parameter.mul_(1.3)
    table = every_item_encoded(texts).detach()
    mine, _ = gradients(model, batch)
    rows = texts.rows[np.concatenate(encoded)]
    assert len(rows) == 9
    targets = np.intersect1d(batch["targets"].numpy(), texts.rows)
    assert set(rows) <= set(targets) if len(targets) >= 9 else set(targets) <= set(rows)
    mixed = before.clone()
    mixed[rows] = table[rows]
    torch.testing.assert_close(texts.last, mixed, atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(texts, "batch", lambda *rows: contextlib.nullcontext())
    monkeypatch.setattr(texts, "forward", lambda rows: mixed[rows])
    theirs, _ = gradients(model, batch)
    assert mine == pytest.approx(theirs, rel=1e-5)


def test_lower_layers_can_stay_as_they_are(log, text_encoder):
    texts = TrainedText(log, text_encoder, 8, TextTrainingConfig(frozen_layers=1))
    trained = {name for name, parameter in texts.named_parameters() if parameter.requires_grad}
    assert any("layers.1" in name for name in trained)
    assert not any("layers.0" in name or "embeddings" in name for name in trained)
    with pytest.raises(InputError, match="frozen_layers is 3, but the text encoder has 2"):
        TrainedText(log, text_encoder, 8, TextTrainingConfig(frozen_layers=3))


def test_the_encoder_learns_and_the_callers_stays(log, text_encoder, towers):
    before = text_encoder.digest
    saved = TextEncoder.load(towers.run / "two_tower" / "text_feature" / "encoder")
    assert text_encoder.digest == before
    assert saved.length.max_len == 24  # max_len 32 is more than it reads
    weights, trained = text_encoder.encoder.state_dict(), saved.encoder.state_dict()
    assert all(not torch.equal(trained[name], weights[name]) for name in ("embeddings.token.weight", "norm.weight"))


def test_a_run_ranks_without_its_encoder_as_it_did(log, towers, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(towers.run, moved)
    vectors = towers.ranker.item_vectors()
    np.testing.assert_allclose(load_ranker(moved, log).item_vectors(), vectors, atol=1e-5)
    loaded = rb.load(moved, log)
    assert loaded.recommend(users=[1, 2], k=3)["item_id"].to_list() == (
        towers.recommend(users=[1, 2], k=3)["item_id"].to_list()
    )
    cold = log.rows([N_ITEMS, N_ITEMS + 1])
    assert not np.allclose(vectors[cold[0]], vectors[cold[1]])


def test_new_texts_are_encoded_by_the_trained_encoder(log, towers, capsys):
    loaded = rb.load(towers.run, log, text_encoder=TextEncoder.load)
    own = TextEncoder.load(towers.run / "two_tower" / "text_feature" / "encoder").encode([title(5)])
    texts = loaded.catalogue.need_texts()
    np.testing.assert_allclose(texts.encode([title(5)]), own / np.linalg.norm(own), atol=1e-5)
    new = pl.DataFrame({"item_id": [900], "title": [title(5)]})
    rows, counts = loaded.put_items(new)
    assert counts["put in"] == len(rows) == 1
    similar = loaded.similar([900], k=5)["item_id"].to_list()
    assert towers.put_items(new)[1]["put in"] == 1
    assert towers.similar([900], k=5)["item_id"].to_list() == similar
    with pytest.raises(InputError, match="text encoder that is not at hand"):
        rb.load(towers.run, log).put_items(new)


def test_items_of_a_grown_log_have_vectors_by_the_trained_encoder(log, towers, tmp_path, capsys):
    today = pl.DataFrame({"user_id": [0, 1], "item_id": [90, 90], "timestamp": [9_000_000, 9_000_000]})
    arrived = pl.DataFrame({"item_id": [90], "title": [title(5)]})
    rb.append(log, today, items=arrived, out=tmp_path / "grown")
    grown = open_dataset(tmp_path / "grown")
    without = load_ranker(towers.run, grown).item_vectors()
    assert "1 items came after the text vectors" in capsys.readouterr().err
    model = rb.load(towers.run, grown, text_encoder=TextEncoder.load)
    row = int(grown.rows([90])[0])
    assert not np.allclose(model.ranker.item_vectors()[row], without[row])
    twin = int(grown.rows([5])[0])
    texts = model.catalogue.need_texts().rows
    assert texts[row] @ texts[twin] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("objective", ["masked", "next_item"])
def test_an_encoder_is_pretrained_with_a_text_encoder(log, text_encoder, objective, tmp_path):
    settings = {**SETTINGS, "loss": {"name": "sampled", "negatives": {"uniform": 12}}, "objective": objective}
    trained = rb.pretrain(log, out=tmp_path / "run", text_encoder=text_encoder, id_dropout=0.2, **settings)
    saved = TextEncoder.load(tmp_path / "run" / "encoder" / "text_feature" / "encoder")
    assert not torch.equal(saved.encoder.norm.weight, text_encoder.encoder.norm.weight)
    loaded = rb.load(tmp_path / "run", log)
    np.testing.assert_allclose(loaded.ranker.item_vectors(), trained.ranker.item_vectors(), atol=1e-5)
    assert loaded.ranker.item_vectors().shape[0] == log.n_rows
    again = rb.train_retrieval(log, init=trained, train=SETTINGS["train"], towers={"item_features": ["text"]})
    assert np.isfinite(again.ranker.item_vectors()).all()


def test_a_step_of_masked_items_has_the_loss_and_gradients_of_all_items_encoded(log, text_encoder, monkeypatch):
    settings = {**SETTINGS, "objective": "masked", "loss": {"name": "sampled", "negatives": {"uniform": 5}}}
    settings["encoder"] = {**SETTINGS["encoder"], "dropout": 0.0}
    training = build(make_config(PretrainConfig, None, settings), log, None, text_encoder)
    model, batch = training.module.train(), to_device(next(iter(training.batches(0))), torch.device("cpu"))
    nn.init.normal_(training.pretrained.encoder.embeddings.features[0].out.weight)
    mine, my_gradients = gradients(model, batch)
    table = every_item_encoded(model.texts)
    monkeypatch.setattr(model.texts, "batch", lambda *rows: contextlib.nullcontext())
    monkeypatch.setattr(model.texts, "forward", lambda rows: table[rows])
    theirs, their_gradients = gradients(model, batch)
    assert mine == pytest.approx(theirs, rel=1e-5)
    assert any(name.startswith("texts.") and gradient.abs().max() > 1e-6 for name, gradient in my_gradients.items())
    for name, gradient in my_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_pretraining_that_would_encode_other_items_is_refused(log, text_encoder):
    with pytest.raises(InputError, match="'full' compares with all items"):
        rb.pretrain(log, text_encoder=text_encoder, **SETTINGS)
    settings = {**SETTINGS, "loss": {"name": "sampled"}}
    with pytest.raises(InputError, match="'replaced_token' draws items within a step"):
        rb.pretrain(log, text_encoder=text_encoder, objective="replaced_token", **settings)
    with pytest.raises(InputError, match="no text encoder is given"):
        rb.pretrain(log, **settings)


def test_a_stopped_run_goes_on_to_the_same_numbers(log, text_encoder, tmp_path, monkeypatch):
    settings = {**SETTINGS, "loss": {"name": "full"}, "text_training": {"lr": 1e-2, "max_items": 9}}
    whole = rb.train_retrieval(log, out=tmp_path / "whole", text_encoder=text_encoder, **settings)
    take_step = OptimiserStep.__call__

    def stopped(self, window, step):
        if step == 7:
            raise KeyboardInterrupt
        return take_step(self, window, step)

    monkeypatch.setattr(OptimiserStep, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        rb.train_retrieval(log, out=tmp_path / "run", text_encoder=text_encoder, **settings)
    monkeypatch.setattr(OptimiserStep, "__call__", take_step)
    other = TextEncoder(Encoder(text_encoder.encoder.config).eval(), text_encoder.tokenizer)
    with pytest.raises(InputError, match="item_features"):
        rb.train_retrieval(log, out=tmp_path / "run", text_encoder=other, **settings)
    again = rb.train_retrieval(log, out=tmp_path / "run", text_encoder=text_encoder, **settings)
    np.testing.assert_array_equal(again.ranker.item_vectors(), whole.ranker.item_vectors())
    digests = [
        TextEncoder.load(run / "two_tower" / "text_feature" / "encoder").digest
        for run in (tmp_path / "whole", tmp_path / "run")
    ]
    assert digests[0] == digests[1]


def test_the_command_trains_and_recommends_new_items(log, text_encoder, tmp_path):
    text_encoder.save(tmp_path / "minilm")
    run = tmp_path / "run"
    flags = "--train.epochs 1 --train.device cpu --encoder.dim 16 --encoder.n-heads 2 --text trained --text-dim 8"
    flags += f" --text-training.max-len 8 --text-encoder {tmp_path / 'minilm'}"
    assert main(["train-retrieval", "--data", str(log.folder), "--out", str(run), *flags.split()]) == 0
    assert TextEncoder.load(run / "two_tower" / "text_feature" / "encoder").length.max_len == 8
    shutil.rmtree(tmp_path / "minilm")
    pl.DataFrame({"item_id": [900], "title": [title(5)]}).write_csv(tmp_path / "new.csv")
    new = ["--new-items", str(tmp_path / "new.csv"), "--users", "1", "--k", "38", "--out", str(tmp_path / "lists.csv")]
    assert main(["recommend", "--data", str(log.folder), "--run", str(run), *new]) == 0
    assert 900 in pl.read_csv(tmp_path / "lists.csv")["item_id"].to_list()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "tfidf", "text_training": {}}, "text_encoder is given, but text is 'tfidf'"),
        ({"text_encoder": None}, "no text encoder is given"),
        ({"text_encoder": len}, "cannot be trained"),
        ({"text": "tfidf", "text_encoder": None}, "text_training.… are settings of a text encoder that is trained"),
        ({"loss": {"name": "full"}}, "'full' compares with all items"),
        ({"loss": {"name": "sce", "similarity": "dot"}}, "'sce' compares with all items"),
        ({"text_training": {"lr": 0.0}}, "text_training.lr is 0.0; it must be above 0"),
        ({"text_training": {"chunk": 0}}, "text_training.chunk is 0"),
        ({"text_training": {"max_len": 7}}, "text_training.max_len is 7; it must be at least 8"),
        ({"text_training": {"frozen_layers": 5}}, "the text encoder has 2 layers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(log, text_encoder, changes, message, tmp_path):
    settings = {**SETTINGS, "text_encoder": text_encoder, **changes}
    with pytest.raises(InputError, match=message):
        rb.train_retrieval(log, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_run_with_text_of_its_own_and_a_log_without_words_are_refused(log, text_encoder, towers, tmp_path):
    with pytest.raises(InputError, match=r"text is 'trained', but .* brings its own"):
        rb.train_retrieval(log, init=towers, text_encoder=text_encoder, text="trained", train=SETTINGS["train"])
    events = pl.DataFrame({"user_id": [1, 1, 1, 2, 2, 2], "item_id": [1, 2, 3] * 2, "timestamp": range(6)})
    plain = rb.prepare(events, out=tmp_path / "data")
    with pytest.raises(InputError, match="prepared without words of items"):
        rb.train_retrieval(plain, text_encoder=text_encoder, **SETTINGS)
