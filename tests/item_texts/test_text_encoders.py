"""Text encoders of the text front as a source of item vectors."""

import numpy as np
import pytest
import torch
from item_texts.conftest import item_table, topic_log

import recsys_bert as rb
from nlp_tasks.config import TokenizerConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.word_vectors.files import WordVectors
from pipelines.cli import main
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.item_texts.texts import texts_of


def text_encoder(seed=0):
    torch.manual_seed(seed)
    tokenizer = Tokenizer.train(
        [" ".join(map(str, range(20))), *item_table()["title"].to_list()], TokenizerConfig(min_count=1)
    )
    settings = EncoderConfig(vocab_size=tokenizer.size, dim=16, n_layers=1, n_heads=2, max_len=24, embedding_norm=True)
    return TextEncoder(Encoder(settings).eval(), tokenizer)


def test_the_digest_is_that_of_what_gives_vectors(tmp_path):
    one, other = text_encoder(), text_encoder(1)
    one.save(tmp_path / "encoder")
    assert TextEncoder.load(tmp_path / "encoder").digest == one.digest == text_encoder().digest
    assert other.digest != one.digest
    with torch.no_grad():
        one.encoder.embeddings.token.weight[5] += 1e-3
    assert one.digest != text_encoder().digest


def test_bf16_gives_nearly_the_same_vectors():
    encoder, texts = text_encoder(), item_table()["title"].to_list()
    exact = encoder.encode(texts)
    encoder.precision = "bf16"
    rounded = encoder.encode(texts)
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    cosines = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() > 0.999


def test_an_encoder_and_word_vectors_of_a_folder_from_the_command(texts_log, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder, data = text_encoder(), str(texts_log.folder)
    encoder.save(tmp_path / "encoder")
    flags = ["--data", data, "--dim", "8", "--by", "encoder", "--source", str(tmp_path / "encoder")]
    assert main(["item-vectors", *flags, "--out", str(tmp_path / "one")]) == 0
    in_python = rb.item_vectors(texts_log, by="encoder", dim=8, source=encoder)
    np.testing.assert_array_equal(np.load(tmp_path / "one" / "vectors.npy"), in_python.rows[in_python.first_item :])
    monkeypatch.setattr(TextEncoder, "encode", lambda self, texts: pytest.fail("encoded again"))
    assert main(["item-vectors", *flags, "--out", str(tmp_path / "two")]) == 0
    np.testing.assert_array_equal(*(np.load(tmp_path / name / "vectors.npy") for name in ("one", "two")))
    words = sorted({word for text in texts_of(texts_log) for word in text.lower().split()})
    WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 5)).astype(np.float32)).save(
        tmp_path / "w.txt"
    )
    flags = ["--data", data, "--by", "words", "--source", str(tmp_path / "w.txt"), "--out", str(tmp_path / "three")]
    assert main(["item-vectors", *flags]) == 0
    assert np.load(tmp_path / "three" / "vectors.npy").shape == (24, 5)
    capsys.readouterr()
    assert main(["item-vectors", *flags[:-3], str(tmp_path / "no.txt"), *flags[-2:]]) == 2
    assert main(["item-vectors", "--data", data, "--by", "encoder", "--out", str(tmp_path / "four")]) == 2
    assert "no encoder" in capsys.readouterr().err


def test_logs_without_words_are_told_how_to_have_them(tmp_path, capsys):
    rb.prepare(topic_log(), out=tmp_path / "data")
    assert main(["item-vectors", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "--item-features.text" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
