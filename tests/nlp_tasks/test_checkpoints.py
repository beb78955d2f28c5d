"""Hugging Face folders with model and tokenizer, through every task that starts from them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoTokenizer

import nlp_tasks
from nlp_tasks import Classifier, Matcher, QuestionAnswerer, Tagger, TextEncoder
from recsys_bert.errors import InputError

from checkpoint_folders import TEXTS, write_checkpoint  # isort: skip

QUICK = {"epochs": 1, "batch_size": 8, "lr": 1e-3}
FAMILIES = ("Bert", "Roberta", "DistilBert", "Electra", "Albert", "Ernie", "MPNet")


def mean_vectors(folder: Path, texts, max_len: int = 38):
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=max_len, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    return ((states * mask).sum(1) / mask.sum(1)).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_of_texts_equal_transformers(family: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path / family, family)
    encoder = TextEncoder.load(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS), mean_vectors(folder, TEXTS), atol=1e-5)
    encoder.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(TEXTS), encoder.encode(TEXTS))


@pytest.mark.parametrize("family", ["Roberta", "Albert"])
def test_every_task_starts_from_a_checkpoint(family: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path / "in", family)
    texts = TEXTS * 4
    settings = {"init": folder, "train": QUICK}
    classifier = Classifier.train(texts, ["a", "b"] * (len(texts) // 2), **settings)
    matcher = Matcher.train(texts, texts[::-1], [0, 1] * (len(texts) // 2), **settings)
    answerer = QuestionAnswerer.train(["who?"] * len(texts), texts, [t.split()[0] for t in texts], **settings)
    tagger = Tagger.train(
        [["Ada", "saw", "Rome"]] * 8, [["B-PER", "O", "B-LOC"]] * 8, head={"name": "softmax"}, **settings
    )
    for task in (classifier, matcher, answerer, tagger):
        task.save(tmp_path / "saved")
        again = type(task).load(tmp_path / "saved")
        pad = np.array([0, again.tokenizer.pad_row])
        assert again.tokenizer.tokens(pad) == task.tokenizer.tokens(pad)
    assert Tagger.load(tmp_path / "saved").predict(["Ada saw Rome"]) == tagger.predict(["Ada saw Rome"])
    answer = answerer.predict(["who?"], ["the quick brown fox"])[0]
    assert answer.text == answer.text.strip()


def test_padding_of_the_tokenizer_wins_over_that_of_the_config(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "in", "Bert", special=("[UNK]", "[CLS]", "[PAD]", "[SEP]", "[MASK]"))
    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == 0
    encoder = TextEncoder.load(folder)
    assert encoder.tokenizer.pad_row == 2
    np.testing.assert_allclose(encoder.encode(TEXTS), mean_vectors(folder, TEXTS), atol=1e-5)


def test_a_family_that_is_not_known_is_named_before_its_tokenizer(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "t5", "vocab_size": 50257}')
    (tmp_path / "vocab.json").write_text('{"a": 0, "<|endoftext|>": 1}')
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(InputError, match="type 't5', which needs an encoder beside a decoder"):
        TextEncoder.load(tmp_path)
    with pytest.raises(InputError, match="type 't5'"):
        Classifier.train(TEXTS, ["a", "b"] * 4, init=tmp_path)


def test_the_config_of_first_releases_is_named(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "in", "Bert")
    (folder / "config.json").rename(folder / "bert_config.json")
    with pytest.raises(InputError, match=r"holds bert_config\.json, as BERT's first releases do; call it config\.json"):
        TextEncoder.load(folder)


def test_a_tokenizer_of_another_checkpoint_is_refused(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "in", "Bert")
    config = transformers.BertConfig.from_pretrained(folder)
    config.vocab_size = 20
    transformers.BertModel(config).save_pretrained(folder)
    with pytest.raises(InputError, match="tokens, the encoder's table has 20 rows: they do not belong together"):
        TextEncoder.load(folder)
    assert nlp_tasks.TextEncoder is TextEncoder
