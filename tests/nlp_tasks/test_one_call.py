"""``pipeline``: every task by its name; a batch answers as its texts one by one; transformers is the oracle of gaps."""

import dataclasses
import re

import numpy as np
import pytest

from nlp_tasks import Classifier, Matcher, QuestionAnswerer, Tagger, TextEncoder, pipeline, pretrain
from nlp_tasks.fill_mask import fill_mask
from recsys_bert.errors import InputError
from tests.nlp_tasks.conftest import topic_texts

QUICK = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24, "init_std": 0.3},
    "tokenizer": {"min_count": 1, "vocab_size": 300},
    "train": {"device": "cpu", "precision": "fp32", "batch_size": 16, "lr": 1e-2, "epochs": 1},
}
TEXTS = ["the ball on goal", "a soup of bread and salt with the bread", "stock"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each task."""
    folder = tmp_path_factory.mktemp("runs")
    texts, labels = topic_texts(40)
    Classifier.train(texts, labels, out=folder / "classification", **QUICK)
    several = [[label, "any"] for label in labels]
    Classifier.train(texts, several, out=folder / "labels", task={"multi_label": True}, **QUICK)
    same = [int(a == b) for a, b in zip(labels, labels[::-1], strict=True)]
    Matcher.train(texts, texts[::-1], same, out=folder / "matching", **QUICK)
    answers = [text.split()[2] for text in texts]
    QuestionAnswerer.train(["which word ?"] * 40, texts, answers, out=folder / "question-answering", **QUICK)
    entities = [[(0, len(text.split()[0]), label)] for text, label in zip(texts, labels, strict=True)]
    Tagger.train(texts, entities, out=folder / "tagging", **QUICK)
    TextEncoder.train(texts, texts[::-1], same, out=folder / "vectors", **QUICK)
    return folder


def close(one, other):
    """Equal but for rounding."""
    if isinstance(one, float | np.ndarray | np.floating):
        np.testing.assert_allclose(one, other, atol=1e-5)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            close(a, b)
    elif dataclasses.is_dataclass(one):
        close(dataclasses.astuple(one), dataclasses.astuple(other))
    else:
        assert one == other


@pytest.mark.parametrize(
    ("task", "run", "options"),
    [
        ("classification", "classification", {}),
        ("classification", "labels", {}),
        ("matching", "matching", {}),
        ("question-answering", "question-answering", {}),
        ("tagging", "tagging", {}),
        ("feature-extraction", "vectors", {}),
        ("similarity", "vectors", {}),
        ("zero-shot-classification", "vectors", {"labels": ["ball goal", "soup"]}),
    ],
)
def test_a_batch_answers_as_its_texts_one_by_one(runs, task, run, options):
    pipe = pipeline(task, runs / run)
    lists = [TEXTS] if task not in ("matching", "similarity", "question-answering") else [TEXTS, TEXTS[::-1]]
    together = pipe(*lists, **options)
    assert len(together) == 3
    for row, answer in enumerate(together):
        close(answer, pipe(*[texts[row] for texts in lists], **options))


def test_answers_are_those_of_the_classes(runs):
    classifier = Classifier.load(runs / "classification")
    labels, scores = zip(*pipeline("classification", runs / "classification")(TEXTS), strict=True)
    assert list(labels) == classifier.predict(TEXTS)
    np.testing.assert_allclose(scores, classifier.probabilities(TEXTS).max(axis=1))
    several = pipeline("classification", runs / "labels")(TEXTS)
    assert [tuple(label for label, _ in row) for row in several] == Classifier.load(runs / "labels").predict(TEXTS)
    matcher = Matcher.load(runs / "matching")
    matches = pipeline("matching", runs / "matching")(TEXTS, TEXTS[::-1])
    assert [match for match, _ in matches] == matcher.predict(TEXTS, TEXTS[::-1]).tolist()
    encoder = TextEncoder.load(runs / "vectors")
    np.testing.assert_allclose(
        pipeline("similarity", runs / "vectors")(TEXTS, TEXTS[::-1]),
        encoder.similarity(TEXTS, TEXTS[::-1]).diagonal(),
        atol=1e-6,
    )
    ((best, cosine), (_, less)) = pipeline("zero-shot-classification", runs / "vectors")(TEXTS[0], labels=TEXTS[:2])
    assert best == TEXTS[0]
    assert cosine == pytest.approx(1, abs=1e-5)
    assert cosine > less


def test_gaps_are_filled_as_transformers_does(tmp_path):
    transformers = pytest.importorskip("transformers")
    bert = {**QUICK["encoder"], "layer": "bert", "embedding_norm": True}
    encoder = pretrain(topic_texts(40)[0], output_head="bert", **{**QUICK, "encoder": bert})
    encoder.export(tmp_path / "out")
    size = encoder.tokenizer.size
    theirs = transformers.pipeline("fill-mask", model=str(tmp_path / "out"), device="cpu")
    pipe = pipeline("fill-mask", tmp_path / "out")
    texts = ["the [MASK] on goal", "[MASK]", "a soup of bread and salt with the [MASK] of bread"]
    for text, fillings in zip(texts, pipe(texts, k=size - 5), strict=True):
        ours = dict(fillings)
        expected = {row["token_str"]: row["score"] for row in theirs(text, top_k=size)}
        words = [token for token in ours if token in expected and not token.startswith("##")]
        assert len(words) > 30
        ratios = np.array([ours[word] / expected[word] for word in words])
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)  # theirs has special tokens, too
        assert fillings == sorted(fillings, key=lambda filling: -filling.score)
    close(pipe(texts[0]), pipe(texts)[0])


def test_a_run_of_pretraining_fills_gaps_by_its_table(tmp_path):
    settings = {**QUICK, "train": {**QUICK["train"], "epochs": 8}}
    pretrain(["soup and salt"] * 60 + topic_texts(20)[0], out=tmp_path / "run", **settings)
    fillings = pipeline("fill-mask", tmp_path / "run")("soup [MASK] salt", k=3)
    assert "and" in [filling.token for filling in fillings]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda runs: pipeline("fillmask", runs / "vectors"), "no task is called 'fillmask'; did you mean 'fill-mask'"),
        (lambda runs: pipeline("tagging", runs / "vectors"), "holds an encoder but no trained tagger"),
        (lambda runs: pipeline("matching", runs / "matching")("a"), "matching takes first and second; 1 arguments"),
        (lambda runs: pipeline("similarity", runs / "vectors")("a", ["b"]), "are single texts, or lists of one length"),
        (lambda runs: pipeline("similarity", runs / "vectors")(["a"], ["b", "c"]), "1 and 2 texts; give pairs"),
        (lambda runs: pipeline("fill-mask", runs / "vectors")("a [MASK]"), "has no masked-token head"),
        (lambda runs: pipeline("fill-mask", runs / "classification")("a [MASK]"), "has no masked-token head"),
        (
            lambda runs: pipeline("zero-shot-classification", runs / "vectors")("a", labels=["b"]),
            "give two or more different descriptions",
        ),
    ],
)
def test_calls_that_do_not_fit_are_refused(runs, call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call(runs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no gap", r"texts\[0\] has 0 masks; write \[MASK\] once"),
        ("[MASK] and [MASK]", r"texts\[0\] has 2 masks"),
        ("bread " * 40 + "[MASK]", r"texts\[0\] has \d+ tokens, the encoder reads 32"),
    ],
)
def test_texts_without_one_gap_are_refused(encoder, tokenizer, text, message):
    with pytest.raises(InputError, match=message):
        fill_mask(TextEncoder(encoder, tokenizer), [text], tied=True)
