"""Masked-token heads: they come from checkpoints, are trained on, saved, taught by, and are what transformers has."""

from pathlib import Path

import pytest
import torch
import transformers
from checkpoint_folders import TEXTS, write_checkpoint

import nlp_tasks
from nlp_tasks.pretraining.config import TextPretrainConfig
from nlp_tasks.pretraining.pretrain import build_training
from nlp_tasks.text_encoder import TextEncoder
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.errors import InputError
from recsys_bert.objectives.token_prediction import at
from recsys_bert.settings import make_config

DOCUMENTS = [f"{text} and {other}" for text in TEXTS for other in TEXTS[:4]]
QUICK = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "schedule": {"warmup_steps": 0}}


def training(**settings):
    return build_training(DOCUMENTS, None, make_config(TextPretrainConfig, None, {"train": QUICK, **settings}))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Albert"])
def test_predictions_of_a_checkpoint_are_those_of_transformers(family: str, tmp_path: Path):
    folder = write_checkpoint(tmp_path, family, "ForMaskedLM")
    model = getattr(transformers, f"{family}ForMaskedLM").from_pretrained(folder).eval()
    run = training(init=folder)
    batch = {name: torch.as_tensor(value) for name, value in next(iter(run.held_out(0))).items()}
    prediction = run.objective.prediction.eval()
    with torch.no_grad():
        encoded = prediction.encode(batch)
        ours = prediction.queries(at(encoded.tokens, batch["positions"])) @ prediction.items().T
        pad, tokens = run.tokenizer.pad_row, batch["tokens"].long()
        theirs = torch.where(tokens == 0, pad, torch.where(tokens == pad, 0, tokens))
        logits = model(theirs, attention_mask=(tokens != 0).long()).logits.flatten(0, 1)[batch["positions"].long()]
        total, n = prediction.metrics(encoded, batch)["log_likelihood"]
        loss = float(prediction(batch))
    torch.testing.assert_close(ours, logits[:, run.tokenizer.first_token :], atol=2e-5, rtol=0)
    targets = batch["targets"].long()
    rest = logits[:, run.tokenizer.first_token :].log_softmax(1)
    expected = rest[torch.arange(n), targets - run.tokenizer.first_token].sum()
    assert total == pytest.approx(float(expected), rel=1e-4)
    assert loss == pytest.approx(-total / n, rel=1e-4)


def test_a_head_is_trained_saved_and_gone_on_from(tmp_path: Path):
    encoder = {"dim": 16, "n_layers": 1, "n_heads": 2, "layer": "bert", "embedding_norm": True, "max_len": 40}
    settings = {"encoder": encoder, "train": QUICK, "tokenizer": {"min_count": 1}}
    tied = nlp_tasks.pretrain(DOCUMENTS, **settings)
    assert tied.masked_head is None
    first = nlp_tasks.pretrain(DOCUMENTS, out=tmp_path / "first", output_head="bert", **settings)
    saved = TextEncoder.load(tmp_path / "first").masked_head
    torch.testing.assert_close(saved.state_dict(), first.masked_head.state_dict())
    assert saved.bias.abs().max() > 0
    assert (saved.activation_name, saved.norm_eps) == ("gelu", 1e-5)
    again = nlp_tasks.pretrain(DOCUMENTS, init=tmp_path / "first", train=QUICK | {"lr": 1e-9})
    torch.testing.assert_close(again.masked_head.bias, saved.bias, atol=1e-6, rtol=0)
    assert nlp_tasks.pretrain(DOCUMENTS, init=tmp_path / "first", output_head="tied", train=QUICK).masked_head is None
    again.save(tmp_path / "again")
    assert TextEncoder.load(tmp_path / "again").masked_head is not None
    student = nlp_tasks.pretrain(
        DOCUMENTS, teacher=tmp_path / "first", **settings | {"tokenizer": {"folder": tmp_path / "first"}}
    )
    assert student.masked_head is None


def test_replaced_tokens_with_a_head(tmp_path: Path):
    folder = write_checkpoint(tmp_path, "Bert", "ForMaskedLM")
    run = training(init=folder, objective="replaced_token")
    batch = {n: torch.as_tensor(v) if hasattr(v, "shape") else v for n, v in next(iter(run.batches(0))).items()}
    run.module(batch).backward()
    assert run.head.bias.grad.abs().max() > 0


def test_a_head_that_does_not_fit_is_refused(tmp_path: Path):
    folder = write_checkpoint(tmp_path, "Bert", "ForMaskedLM")
    wide = {"neck": "cnn", "residual": "concat"}
    with pytest.raises(InputError, match=r"head reads 24 dimensions, .* the encoder gives 48, .* output_head 'tied'"):
        training(init=folder, encoder=wide)
    assert training(init=folder, encoder=wide, output_head="tied").head is None
    MaskedTokenHead(4, 4, 9).save(tmp_path)
    (tmp_path / "masked_head.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"masked_head\.safetensors cannot be read"):
        MaskedTokenHead.load(tmp_path)
