import itertools
import json

import pytest

from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import Sentence, split_words
from pipelines.benchmarks import tagging_round, tagging_speed
from pipelines.support.flags import load_config
from pipelines.text.tag import train
from recsys_bert.errors import InputError

RECIPE = """
out = "run"

[data]
train = "{train}"
validation = "{train}"
scheme = "bmes"

[tokenizer]
kind = "characters"
min_count = 1

[encoder]
dim = 8
n_layers = 1
n_heads = 2
max_len = 16

[lexicon]
name = "flat"
file = "{words}"

[lexicon.options]
width = 4
n_heads = 2

[train]
batch_size = 4
device = "cpu"
precision = "fp32"
"""


@pytest.fixture
def recipe(tmp_path):
    train, words, file = tmp_path / "train.bmes", tmp_path / "words.txt", tmp_path / "tiny.toml"
    train.write_text("我 O\n爱 O\n北 B-LOC\n京 E-LOC\n\n张 B-PER\n三 E-PER\n来 O\n\n" * 2, encoding="utf-8")
    words.write_text("北京\n张三\n来\n", encoding="utf-8")
    file.write_text(RECIPE.format(train=train, words=words), encoding="utf-8")
    return file


def test_sentences_are_joined_and_cut_anew():
    sentences = [split_words("甲乙丙丁", "characters"), split_words("戊己庚", "characters")]
    sentences = [Sentence(one.text, one.offsets, ((Span(1, 3, "X"),),)) for one in sentences]
    for length in (1, 2, 3, 5, 9):
        lines = [json.loads(line) for line in tagging_speed.equally_long(sentences, length, 6)]
        endless = itertools.cycle("甲乙丙丁戊己庚")
        assert [line["text"] for line in lines] == ["".join(itertools.islice(endless, length)) for _ in range(6)]
        entities = {
            (number * length + one["start"], number * length + one["end"])
            for number, line in enumerate(lines)
            for one in line["entities"]
        }
        every = {(at + a, at + a + 2) for at in range(0, 70, 7) for a in (1, 5)}  # 乙丙 and 己庚
        expected = {(a, b) for a, b in every if a // length == (b - 1) // length and b <= 6 * length}
        assert entities == expected


@pytest.mark.slow
def test_training_by_length(recipe, tmp_path, capsys):
    config = tagging_speed.Config(out=tmp_path / "speed", recipes=(recipe,), lengths=(20,), sentences=8, epochs=2)
    (row,) = tagging_speed.run(config)["training"]
    assert len(row["epochs_s"]) == 1
    assert row["matches"] == pytest.approx(60 / 7, abs=1)  # three in seven characters
    assert row["peak_bytes"] > 2**27
    assert row["sentences_per_s"] > 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert f"| {recipe.stem} | 20 | {row['matches']:.0f} | 4 |" in printed
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["training"] == [row]


def test_prediction_of_runs_that_take_turns(recipe, tmp_path, capsys, monkeypatch):
    flags = ["--out", str(tmp_path / "run"), "--train.epochs", "1", "--data.test", str(tmp_path / "train.bmes")]
    train.run(load_config(train.Config, [str(recipe), *flags]))
    capsys.readouterr()
    turn = tagging_round.run(tagging_round.Config(run=tmp_path / "run"))
    assert json.loads(capsys.readouterr().out) == turn
    assert (turn["sentences"], turn["words"], turn["matches"]) == (4, 14, 6)
    assert (turn["encoder"], turn["lexicon"], turn["head"]) == ("1 × 8", "flat", "crf")
    speeds = iter([4.0, 1.0, 3.0])
    monkeypatch.setattr(
        tagging_speed, "_measure_prediction", lambda *_: turn | {"sentences_per_s": next(speeds), "peak_bytes": 1}
    )
    (row,) = tagging_speed.run(tagging_speed.Config(out=tmp_path / "speed", recipes=(), runs=(tmp_path / "run",)))[
        "prediction"
    ]
    assert row["sentences_per_s"] == 3.0
    assert "| run | 1 × 8 | flat | crf |" in capsys.readouterr().out


def test_a_training_without_test_file_asks_for_one(recipe, tmp_path):
    train.run(load_config(train.Config, [str(recipe), "--out", str(tmp_path / "run"), "--train.epochs", "1"]))
    with pytest.raises(InputError, match="name one with --file"):
        tagging_round.run(tagging_round.Config(run=tmp_path / "run"))


@pytest.mark.parametrize("change", [{"epochs": 1}, {"lengths": ()}, {"lengths": (0,)}, {"rounds": 0}])
def test_what_cannot_be_measured_is_refused(tmp_path, change):
    with pytest.raises(InputError):
        tagging_speed.Config(out=tmp_path / "speed", **change)
