"""The benchmark of text classification against transformers, on texts and an encoder of a moment."""

import json
import subprocess
import sys

import pytest

from nlp_tasks.classification.classifier import build_training
from pipelines.benchmarks import text_speed, text_steps_peer
from pipelines.text.classify import train
from recsys_bert.errors import InputError

SHAPE = "1x16x2"


@pytest.fixture
def config(topic_files, tmp_path):
    vocabulary = tmp_path / "tokenizer" / "vocab.txt"
    vocabulary.parent.mkdir()
    texts = topic_files((160, 8, 8))["train"].read_text(encoding="utf-8")
    words = sorted({word for line in texts.splitlines() for word in line.split("\t")[0].split()})
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]), encoding="utf-8")
    return text_speed.Config(
        train=tmp_path / "train.tsv",
        tokenizer=vocabulary.parent,
        out=tmp_path / "speed",
        format="tsv",
        shapes=(SHAPE,),
        max_len=16,
        batch_size=16,
    )


@pytest.mark.slow
def test_both_programs_take_turns_over_the_same_work(config, tmp_path):
    # in a small process of its own: a program's peak counts from that of the process that started it
    command = [sys.executable, "-m", "pipelines.benchmarks.text_speed", "--train", str(config.train)]
    command += ["--tokenizer", str(config.tokenizer), "--out", str(config.out), "--format", "tsv", "--shapes", SHAPE]
    command += ["--max-len", "16", "--batch-size", "16", "--steps", "4", "--predict", "50", "--rounds", "1"]
    printed = subprocess.run([*command, "--profile"], stdout=subprocess.PIPE, text=True, check=True).stdout
    result = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    ours, fp32, bf16 = result["rows"]
    assert [line["program"] for line in result["rows"]] == ["ours", "transformers", "transformers"]
    for name in ("seq_per_s", "predicted_per_s"):
        assert ours[f"times_{name}"]["fp32"] == pytest.approx(ours[name] / fp32[name])
        assert ours[f"times_{name}"]["bf16"] == pytest.approx(ours[name] / bf16[name])
    assert all(line["tokens_per_sequence"] == 10 for line in result["rows"])  # eight words, and two special tokens
    assert all(line["padding"] == 0 for line in result["rows"])
    assert {"aten::addmm", "aten::mm"} & {one["operator"] for one in ours["operators"]}
    assert f"| {SHAPE} | transformers | bf16 |" in printed
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == printed


def test_both_models_are_of_one_size(config, tmp_path):
    recipe = text_speed._recipe(config, text_speed._Row("ours", SHAPE, "fp32"), tmp_path / "run")
    classifier, _ = build_training(train.read(recipe), recipe)
    ours = classifier.model.encoder
    theirs = text_steps_peer._model(recipe, classifier.tokenizer.size, 3).bert
    pooler = sum(parameter.numel() for parameter in theirs.pooler.parameters())
    assert sum(parameter.numel() for parameter in ours.parameters()) == theirs.num_parameters() - pooler


@pytest.mark.parametrize("shape", ["6x384", "6x384xa"])
def test_a_shape_is_three_numbers(config, shape):
    with pytest.raises(InputError, match="layers x width x heads"):
        text_speed.Config(train=config.train, tokenizer=config.tokenizer, out=config.out, shapes=(shape,))
