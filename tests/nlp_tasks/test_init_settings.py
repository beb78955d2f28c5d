"""Encoder settings beside ``init``: named ones are that of init or refused, and config.toml has the encoder trained."""

import tomllib

import pytest

from nlp_tasks import Classifier, Matcher, QuestionAnswerer, Tagger, pretrain
from nlp_tasks.config import TEXT_ENCODER
from pipelines.cli import main
from recsys_bert.errors import InputError

TEXTS = ["a red ball", "the warm soup"] * 10
TRAIN = {"epochs": 1, "device": "cpu", "batch_size": 8}
OF_INIT = {"dim": 24, "n_layers": 1, "n_heads": 3, "max_len": 40, "embedding_dim": 8, "n_segments": 3, "init_std": 0.1}
TASKS = {
    "classifier": lambda **settings: Classifier.train(TEXTS, ["x", "y"] * 10, **settings),
    "matcher": lambda **settings: Matcher.train(TEXTS, TEXTS, [0, 1] * 10, **settings),
    "answerer": lambda **settings: QuestionAnswerer.train(
        ["what"] * 20, [f"{text} {n}" for n, text in enumerate(TEXTS)], ["ball", "soup"] * 10, **settings
    ),
    "tagger": lambda **settings: Tagger.train(TEXTS, [[(2, 5, "C")], [(4, 8, "C")]] * 10, **settings),
    "pretrain": lambda **settings: pretrain(TEXTS, **settings),
}


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init") / "run"
    pretrain(TEXTS, encoder=OF_INIT, train=TRAIN, tokenizer={"min_count": 1}, out=folder)
    return folder


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", OF_INIT)
def test_a_default_that_is_named_is_not_taken_for_none(init, task, name):
    default = getattr(TEXT_ENCODER, name)
    with pytest.raises(InputError, match=rf"encoder\.{name} (is {default}, but init|comes from init)"):
        TASKS[task](init=init, encoder={name: default}, train=TRAIN)


@pytest.mark.parametrize("task", TASKS)
def test_config_toml_has_the_encoder_that_is_trained(init, task, tmp_path):
    run = tmp_path / "run"
    TASKS[task](init=init, train=TRAIN, encoder={"dropout": 0.2}, out=run)
    written = tomllib.loads((run / "config.toml").read_text())["encoder"]
    assert {name: written[name] for name in OF_INIT} == OF_INIT
    assert written["dropout"] == 0.2
    TASKS[task](init=init, train=TRAIN, encoder={"dropout": 0.2}, out=run)  # the same settings resume it
    with pytest.raises(InputError, match="dropout"):
        TASKS[task](init=init, train=TRAIN, encoder={"dropout": 0.3}, out=run)


def test_a_run_with_init_predicts_with_its_config(init, tmp_path, capsys):
    lines = "".join(f"{text}\t{label}\n" for text, label in zip(TEXTS, ["x", "y"] * 10, strict=True))
    (tmp_path / "a.tsv").write_text(f"text\tlabel\n\tx\n{lines}")
    run = ["--out", str(tmp_path / "run"), "--init", str(init), "--data.bad-rows", "drop"]
    flags = [*run, "--data.train", str(tmp_path / "a.tsv"), "--train.epochs", "1", "--train.device", "cpu"]
    assert main(["text", "classify", "train", *flags]) == 0
    assert "train: 1 text is empty" in capsys.readouterr().err  # what was left out is printed, too
    assert main(["text", "classify", "predict", "--run", str(tmp_path / "run"), "--texts", "a red ball"]) == 0
    again = [str(tmp_path / "run" / "config.toml"), "--out", str(tmp_path / "again")]
    assert main(["text", "classify", "train", *again]) == 0
    assert main(["text", "classify", "train", *flags, "--encoder.max-len", "128"]) == 2
    assert "encoder.max_len is 128, but init" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "classify predict --run r --texts {}",
        "match predict --run r --texts a {}",
        "match search --run r --index i --texts {}",
        "tag predict --run r --texts {}",
        "qa predict --run r --questions {} --passage a",
        "qa predict --run r --questions a --passage {}",
        "qa search --run r --files f --questions {}",
        "classify train --out o --data.train {}",
        "pretrain --out {} --data.train f",
    ],
)
def test_bytes_that_are_no_utf8_are_refused(command, capsys):
    argument = b"caf\xe9".decode("utf-8", "surrogateescape")  # as Python passes it on
    argv = [word.format(argument) for word in command.split()]
    assert main(["text", *argv]) == 2
    assert r"'caf\udce9', is not UTF-8: byte 0xe9 after 3 characters" in capsys.readouterr().err
