"""Training and prediction from lists: every task has the same methods, and refuses what does not fit."""

import json

import numpy as np
import polars as pl
import pytest

import nlp_tasks
from nlp_tasks import Classifier, Matcher, QuestionAnswerer
from pipelines.support.flags import load_config
from pipelines.text.classify import train as classify
from recsys_bert.errors import InputError

QUICK = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24},
    "tokenizer": {"min_count": 1, "vocab_size": 300},
    "train": {"device": "cpu", "precision": "fp32", "batch_size": 16, "lr": 1e-2, "epochs": 3},
}
ODD = ["a", "b"] * 10


@pytest.fixture(scope="module")
def classifier():
    from tests.nlp_tasks.conftest import topic_texts

    return Classifier.train(*topic_texts(120), **QUICK)


def test_a_classifier_from_two_lists(classifier, topics, tmp_path):
    texts, labels = topics(30, seed=5)
    assert classifier.results["validation"]["examples"] == 12
    metrics = classifier.evaluate(texts, labels)
    assert metrics["accuracy"] == np.mean([a == b for a, b in zip(classifier.predict(texts), labels, strict=True)])
    assert metrics["accuracy"] > 0.8
    assert classifier.encode(texts).shape == (30, 16)
    classifier.save(tmp_path / "saved")
    loaded = Classifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.probabilities(texts), classifier.probabilities(texts))
    assert loaded.predict(pl.Series(texts)) == classifier.predict(np.array(texts))


def test_empty_lists_have_empty_results(classifier):
    assert classifier.predict([]) == []
    assert classifier.probabilities([]).shape == (0, 3)
    assert classifier.encode([]).shape == (0, 16)
    with pytest.raises(InputError, match="no texts to evaluate on"):
        classifier.evaluate([], [])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.predict("a ball"), r"texts is a single string; give a list of texts"),
        (lambda c: c.predict(["a ball", 3]), r"texts\[1\] is a int; give a list of texts"),
        (lambda c: c.predict(["\ud83d"]), r"texts\[0\] holds half of a character"),
        (lambda c: c.evaluate(["a"], ["sport", "food"]), r"different lengths: texts 1, labels 2"),
        (lambda c: c.evaluate(["a"], ["art"]), r"label 'art' does not occur in training; the labels are food"),
        (lambda c: c.evaluate(["a"], "sport"), r"labels is a single string"),
        (lambda _: Classifier.train("a ball", ["x"]), r"texts is a single string"),
        (lambda _: Classifier.train(["a", "b"], ["x"]), r"different lengths: texts 2, labels 1"),
        (lambda _: Classifier.train(["a", " "], ["x", "y"]), r"texts\[1\] of the training examples is empty"),
        (lambda _: Classifier.train(["a", "b"], ["x", {}]), r"labels\[1\] is no label"),
        (lambda _: Classifier.train(ODD, [0.5, 1.5] * 10), "2 of the 2 labels are fractions"),
        (lambda _: Classifier.train(ODD, ODD, valid=0.1), r"no setting is called 'valid'"),
        (lambda _: Classifier.train(ODD, ODD, validation="a"), r"validation is 'a'; give a tuple of lists"),
        (lambda _: Classifier.train(ODD, ODD, test=(["a"], ["z"])), r"example 1 of the test examples: label 'z'"),
        (lambda _: Matcher.train(ODD, ODD), r"task.loss 'labels' needs labels"),
        (lambda _: Matcher.train(ODD, ODD, [2] * 20), "20 of the 20 labels of the training examples are 2"),
        (lambda _: QuestionAnswerer.train(["a"], ["b"], "b"), r"answers is a single string"),
        (
            lambda _: QuestionAnswerer.train(ODD, ODD, ["z"] * 20, validation=0.5),
            r"question \d+ of .*: the answer is not in its passage",
        ),
    ],
)
def test_what_does_not_fit_is_refused(classifier, call, message):
    with pytest.raises(InputError, match=message):
        call(classifier)


def test_several_labels(topics):
    texts, labels = topics(120)
    lists = [[label, "long"] if len(text) > 40 else [label] for text, label in zip(texts, labels, strict=True)]
    tagged = Classifier.train(texts, lists, validation=0.2, task={"multi_label": True}, **QUICK)
    assert tagged.results["validation"]["examples"] == 24
    assert {"micro_f1", "exact"} <= tagged.evaluate(texts, lists).keys()
    assert all(isinstance(names, tuple) for names in tagged.predict(texts[:5]))


@pytest.mark.parametrize("form", ["bi", "cross"])
def test_a_matcher_from_lists(topics, form):
    texts, labels = topics(160)
    same = [int(a == b) for a, b in zip(labels[0::2], labels[1::2], strict=True)]
    matcher = Matcher.train(texts[0::2], texts[1::2], same, task={"form": form}, **QUICK)
    similarity = matcher.similarity(texts[0::2], texts[1::2])
    np.testing.assert_array_equal(matcher.predict(texts[0::2], texts[1::2]), similarity >= matcher.threshold)
    assert matcher.evaluate(texts[0::2], texts[1::2], same)["examples"] == 80
    assert matcher.similarity([], []).shape == matcher.predict([], []).shape == (0,)
    with pytest.raises(InputError, match="different lengths: first 1, second 2"):
        matcher.similarity(["a"], ["b", "c"])
    with pytest.raises(InputError, match="first is a single string"):
        matcher.predict("a", ["b"])


def test_a_question_answerer_from_lists():
    colours = ["red", "blue", "green"] * 20
    passages = [f"a {colour} ball number {n} ." for n, colour in enumerate(colours)]
    questions = ["which colour ?"] * 60
    settings = QUICK | {"task": {"max_answer": 2}}
    answerer = QuestionAnswerer.train(questions, passages, colours, **settings)
    (answer,) = answerer.predict(questions[:1], passages[:1])
    assert passages[0][answer.start : answer.stop] == answer.text
    assert answerer.evaluate(questions, passages, [[colour, "ball"] for colour in colours])["examples"] == 60
    assert answerer.predict([], []) == []
    with pytest.raises(InputError, match="questions is a single string"):
        answerer.predict("which", passages)


def test_lists_and_files_train_the_same_model(topics, tmp_path):
    parts = {name: topics(n, seed) for name, n, seed in (("train", 60, 0), ("validation", 20, 1), ("test", 20, 2))}
    for name, (texts, labels) in parts.items():
        rows = "".join(f"{text}\t{label}\n" for text, label in zip(texts, labels, strict=True))
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + rows)
    flags = [flag for name in parts for flag in (f"--data.{name}", str(tmp_path / f"{name}.tsv"))]
    config = load_config(classify.Config, ["--out", str(tmp_path / "command"), *flags, "--train.epochs", "1"])
    by_command = classify.run(config)
    held_out = {"validation": parts["validation"], "test": parts["test"]}
    python = Classifier.train(*parts["train"], **held_out, out=tmp_path / "python", train={"epochs": 1})
    written = json.loads((tmp_path / "python" / "metrics.json").read_text())
    for results in (by_command, python.results, written):
        results.pop("seconds")
    assert len(written.pop("sha256")) == 64
    assert by_command == python.results == written
    files = (tmp_path / run / "classifier" / "model.safetensors" for run in ("command", "python"))
    assert len({path.read_bytes() for path in files}) == 1
    with pytest.raises(InputError, match=r"is not what .* was begun with"):
        Classifier.train(*parts["test"], **held_out, out=tmp_path / "python", train={"epochs": 1})


def test_settings_come_once(topics):
    from nlp_tasks.classification.config import ClassificationTrainConfig

    with pytest.raises(InputError, match="settings came twice"):
        Classifier.train(*topics(20), config=ClassificationTrainConfig(), train={"epochs": 1})


def test_names_are_exported():
    assert {"Classifier", "Matcher", "QuestionAnswerer", "Tagger"} <= set(dir(nlp_tasks))
    assert nlp_tasks.Tagger.__name__ == "Tagger"
    with pytest.raises(AttributeError, match="no attribute 'Reader'"):
        _ = nlp_tasks.Reader
