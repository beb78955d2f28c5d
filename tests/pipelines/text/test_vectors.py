import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from nlp_tasks.word_vectors.files import read_vectors
from pipelines.cli import main
from recsys_bert.files import replacing
from recsys_bert.static_embeddings import fit

TOPICS = [["ball", "goal", "team", "match"], ["soup", "bread", "salt", "oven"]]


@pytest.fixture
def text(tmp_path):
    """Texts about one of two things, a word of the other one and filler mixed in, and one rare word."""
    random, path = np.random.default_rng(0), tmp_path / "text.txt"
    parts = [(TOPICS[n % 2], TOPICS[1 - n % 2]) for n in range(300)]
    lines = [
        random.permutation([*random.choice(own, 4), random.choice(other), *random.choice(["the", "a"], 2)])
        for own, other in parts
    ]
    path.write_text("\n".join(map(" ".join, lines)) + "\nrare\n")
    return path


@pytest.fixture
def flags(text, tmp_path):
    return ["text", "vectors", "train", "--text.files", str(text), "--out", str(tmp_path / "run"), "--min-count", "2"]


WORD2VEC = ["--word2vec.dim", "8", "--word2vec.batch-size", "64", "--word2vec.lr", "0.1", "--word2vec.sample", "0"]
GLOVE = [
    "--method",
    "glove",
    "--glove.dim",
    "8",
    "--glove.batch-size",
    "16",
    "--glove.epochs",
    "60",
    "--glove.lr",
    "0.2",
]


@pytest.mark.parametrize(
    "method", [WORD2VEC, [*WORD2VEC, "--word2vec.model", "cbow"], GLOVE], ids=["sg", "cbow", "glove"]
)
def test_words_of_one_topic_are_near_each_other(flags, tmp_path, capsys, method):
    assert main([*flags, *method]) == 0
    printed = capsys.readouterr().err
    assert (
        "10 words that occur 2,100 times in 301 texts; left out: 1 words (1 occurrences) with fewer than 2" in printed
    )
    assert "1 texts have fewer than two words left" in printed
    vectors = read_vectors(tmp_path / "run" / "vectors.txt")
    table = vectors.table[vectors.rows([word for words in TOPICS for word in words])]
    table -= table.mean(axis=0)  # what all words share says nothing
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    cosines = (table @ table.T).reshape(2, 4, 2, 4).mean(axis=(1, 3))
    assert cosines.diagonal().min() > cosines[0, 1] + 0.6
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["counted"]["words"] == 10
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]


def killed_before(checkpoint):
    """Replaces ``replacing`` in a run that is killed before it writes a checkpoint."""
    raise KeyboardInterrupt


@contextlib.contextmanager
def killed_after(checkpoint):
    """The same right after it."""
    with replacing(checkpoint) as temporary:
        yield temporary
    raise KeyboardInterrupt


def stop_in_epoch_3(command, monkeypatch):
    epoch = fit.Word2Vec.epoch

    def stopped(model, number):
        if number == 3:
            raise KeyboardInterrupt
        return epoch(model, number)

    with monkeypatch.context() as patch:
        patch.setattr(fit.Word2Vec, "epoch", stopped)
        assert main(command) == 130


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(flags, tmp_path, monkeypatch, capsys):
    assert main([*flags, *WORD2VEC]) == 0
    whole = (tmp_path / "run" / "vectors.txt").read_text()
    curve = (tmp_path / "run" / "metrics.jsonl").read_text()
    again = [flag.replace(str(tmp_path / "run"), str(tmp_path / "again")) for flag in flags]
    stop_in_epoch_3([*again, *WORD2VEC], monkeypatch)
    assert not (tmp_path / "again" / "vectors.txt").exists()
    for kill in (killed_before, killed_after):
        with monkeypatch.context() as patch:
            patch.setattr(fit, "replacing", kill)
            assert main([*again, *WORD2VEC]) == 130
    assert main([*again, *WORD2VEC]) == 0
    assert "going on where it stopped" in capsys.readouterr().err
    assert (tmp_path / "again" / "vectors.txt").read_text() == whole
    assert (tmp_path / "again" / "metrics.jsonl").read_text() == curve


def test_seconds_are_those_of_all_parts_of_a_run(flags, tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 7))  # a look at it every seven seconds
    monkeypatch.setattr(fit, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    stop_in_epoch_3([*flags, *WORD2VEC], monkeypatch)
    for _ in range(2):  # the second time it is finished
        assert main([*flags, *WORD2VEC]) == 0
        assert json.loads((tmp_path / "run" / "metrics.json").read_text())["seconds"] == 5 * 7


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--glove.dim", "8"], "method is 'word2vec', but glove is set as well"),
        (["--method", "glove", "--word2vec.dim", "8"], "method is 'glove', but word2vec is set as well"),
        (["--min-count", "1000"], "none of the 11 words in 301 texts occurs 1000 times"),
        (["--text.files"], "no text is given"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(flags, tmp_path, capsys, more, message):
    assert main([*flags, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_halves_of_characters_are_refused_before_training(tmp_path, capsys):
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "a b"}\n{"text": "a \\ud83d"}\n')
    command = ["text", "vectors", "train", "--text.files", str(path), "--out", str(tmp_path / "run")]
    assert main(command) == 2
    printed = capsys.readouterr().err
    assert "line 2" in printed
    assert "half of a character" in printed
    assert "pass --text.bad-rows drop" in printed
