"""A pretrained text encoder from Python: pretrain, load, encode, similarity."""

import numpy as np
import pytest
import torch

from nlp_tasks.pretraining.pretrain import pretrain
from nlp_tasks.text_encoder import TextEncoder
from recsys_bert.errors import InputError

SETTINGS = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24},
    "tokenizer": {"min_count": 1},
    "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", "device": "cpu"},
}


@pytest.fixture
def model(encoder, tokenizer):
    return TextEncoder(encoder, tokenizer)


@torch.no_grad()
def test_a_vector_is_the_mean_of_the_outputs_over_its_tokens(model, tokenizer):
    texts = ["ball goal", "the soup bread of salt"]
    for text, vector in zip(texts, model.encode(texts), strict=True):
        rows = [tokenizer.cls, *tokenizer([text]).ids.tolist(), tokenizer.sep]
        expected = model.encoder(torch.tensor([rows])).tokens[0].mean(0)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert model.encode([]).shape == (0, 16)


def test_similarity_is_the_cosine(model):
    texts, others = ["ball goal", "bank stock"], ["bread", "ball goal", "fund"]
    a, b = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in map(model.encode, (texts, others)))
    np.testing.assert_allclose(model.similarity(texts, others), a @ b.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(model.similarity(texts)), 1.0, atol=1e-6)


def test_tokens_are_those_of_the_tokenizer(model):
    assert model.tokens(["ball goal", ""]) == [["ball", "goal"], []]


def test_texts_of_any_length_are_encoded(model):
    assert np.isfinite(model.encode(["ball " * 500, "goal"])).all()


def test_saved_and_loaded_it_gives_the_same_vectors(model, tmp_path):
    model.save(tmp_path / "encoder")
    loaded = TextEncoder.load(tmp_path / "encoder")
    np.testing.assert_array_equal(loaded.encode(["ball goal"]), model.encode(["ball goal"]))
    with pytest.raises(InputError, match="holds no encoder"):
        TextEncoder.load(tmp_path)


def test_pretrain_gives_an_encoder_and_a_run_that_loads_as_the_same(topics, tmp_path):
    texts = ["\n".join(topics(3, seed)[0]) for seed in range(40)]
    settings = SETTINGS | {"validation": texts[:5], "objective_options": {"mask_prob": 0.3}}
    trained = pretrain(texts, out=tmp_path / "run", **settings)
    loaded = TextEncoder.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.encode(texts[:3]), trained.encode(texts[:3]))
    without_folder = pretrain(texts, **settings)
    np.testing.assert_array_equal(without_folder.encode(texts[:3]), trained.encode(texts[:3]))


def test_a_teacher_is_learned_from_and_init_keeps_its_settings(topics, tmp_path):
    texts = ["\n".join(topics(3, seed)[0]) for seed in range(40)]
    pretrain(texts, out=tmp_path / "teacher", **SETTINGS)
    tokenizer = {"folder": str(tmp_path / "teacher")}
    small = SETTINGS["encoder"] | {"dim": 8}
    settings = {"teacher": tmp_path / "teacher", "tokenizer": tokenizer, "encoder": small, "train": SETTINGS["train"]}
    student = pretrain(texts, **settings)
    alone = pretrain(texts, tokenizer=tokenizer, encoder=small, train=SETTINGS["train"])
    assert (student.encode(texts[:2]) != alone.encode(texts[:2])).any()
    more = pretrain(texts, init=tmp_path / "teacher", train=SETTINGS["train"])
    assert more.dim == 16
    with pytest.raises(InputError, match=r"encoder\.dim comes from init"):
        pretrain(texts, init=tmp_path / "teacher", encoder={"dim": 128}, train=SETTINGS["train"])
    with pytest.raises(InputError, match="has another vocabulary"):
        pretrain(texts[:30], teacher=tmp_path / "teacher", **SETTINGS)
