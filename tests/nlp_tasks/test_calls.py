"""Public methods on empty lists, bare strings, other types and unequal lists: an empty result, or one clear message."""

import numpy as np
import pytest

from nlp_tasks import (
    BM25,
    Classifier,
    Matcher,
    OpenDomainQA,
    QuestionAnswerer,
    Tagger,
    TextEncoder,
    pretrain,
    score_unlabelled,
    train_word_vectors,
)
from nlp_tasks.recall.words import plain_words
from recsys_bert.errors import InputError

TINY = {"encoder": {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 24}, "train": {"epochs": 1, "device": "cpu"}}
TEXTS = ["a ball", "the soup"] * 10
PASSAGES = [f"ada saw rome {n}" for n in range(20)]


@pytest.fixture(scope="module")
def models():
    classifier = Classifier.train(TEXTS, ["x", "y"] * 10, **TINY)
    answerer = QuestionAnswerer.train(["who"] * 20, PASSAGES, ["ada"] * 20, **TINY)
    return {
        "classifier": classifier,
        "several": Classifier.train(TEXTS, [["x"], ["y", "x"]] * 10, task={"multi_label": True}, **TINY),
        "bi": Matcher.train(TEXTS, TEXTS, [0, 1] * 10, task={"form": "bi"}, **TINY),
        "cross": Matcher.train(TEXTS, TEXTS, [0, 1] * 10, **TINY),
        "answerer": answerer,
        "tagger": Tagger.train(["ada saw rome"] * 20, [[(0, 3, "P")]] * 20, **TINY),
        "encoder": TextEncoder(classifier.model.encoder, classifier.tokenizer),
        "bm25": BM25(["a ball", "the soup"], plain_words),
        "open": OpenDomainQA(answerer, ["ada saw rome", "bob sits"]),
        "vectors": train_word_vectors(["ball goal ball goal"] * 30, word2vec={"dim": 4, "epochs": 1}),
    }


OF_TEXTS = {  # methods of one list of texts
    "classifier": ("predict", "probabilities", "encode"),
    "several": ("predict", "probabilities", "encode"),
    "bi": ("encode",),
    "tagger": ("predict", "encode"),
    "encoder": ("encode", "tokens", "similarity"),
    "bm25": ("search",),
    "open": ("predict",),
    "vectors": ("rows",),
}
METHODS = [(name, method) for name, methods in OF_TEXTS.items() for method in methods]


def call(models, name, method, *lists):
    more = (1,) if method == "search" else ()
    return getattr(models[name], method)(*lists, *more)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_an_empty_list_has_an_empty_result(models, name, method):
    result = call(models, name, method, [])
    assert len(result[0] if name == "open" else result) == 0


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_bare_string_is_no_list_of_characters(models, name, method):
    with pytest.raises(InputError, match="is a single string; give a list"):
        call(models, name, method, "a ball")


@pytest.mark.parametrize("value", [5, None, b"a", "\ud83d"])
@pytest.mark.parametrize(("name", "method"), METHODS)
def test_what_is_no_text_is_named(models, name, method, value):
    with pytest.raises(InputError, match=r"\[0\] is a|text 0 is a|half of a character|its words are no texts"):
        call(models, name, method, [value])


@pytest.mark.parametrize("name", ["bi", "cross"])
@pytest.mark.parametrize("method", ["predict", "similarity"])
def test_pairs(models, name, method):
    assert len(call(models, name, method, [], [])) == 0
    with pytest.raises(InputError, match="first 1, second 2"):
        call(models, name, method, ["a"], ["b", "c"])
    with pytest.raises(InputError, match="single string"):
        call(models, name, method, "ab", "cd")


def test_questions_and_passages(models):
    answerer = models["answerer"]
    assert answerer.predict([], []) == []
    with pytest.raises(InputError, match="questions 1, passages 2"):
        answerer.predict(["who"], ["a", "b"])
    with pytest.raises(InputError, match="single string"):
        answerer.predict("who", "ada saw rome")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m["classifier"].evaluate([], []), "no texts to evaluate"),
        (lambda m: m["classifier"].evaluate(["a"], []), "texts 1, labels 0"),
        (lambda m: m["bi"].evaluate([], [], []), "no pairs to evaluate"),
        (lambda m: m["cross"].evaluate(["a"], ["b"]), "evaluated on labels"),
        (lambda m: m["answerer"].evaluate([], [], []), "holds no question"),
        (lambda m: m["tagger"].evaluate([], []), "holds no sentence"),
        (lambda m: m["tagger"].evaluate(["ada"], []), "1 given texts have 0 lists"),
        (lambda m: m["bm25"].search(["ball"], 0), "k is 0"),
        (lambda m: m["open"].predict(["ada"], k=0), "k is 0"),
        (lambda _: BM25("ab", plain_words), "single string"),
        (lambda _: BM25([], plain_words), "none of the 0 paragraphs"),
        (lambda m: OpenDomainQA(m["answerer"], "ab"), "single string"),
        (lambda _: Classifier.train([], []), "holds no example"),
        (lambda _: Matcher.train([], [], []), "holds no example"),
        (lambda _: QuestionAnswerer.train([], [], []), "holds no question"),
        (lambda _: Tagger.train([], []), "holds no sentence"),
        (lambda _: pretrain([]), "texts is an empty list"),
        (lambda _: pretrain("a text"), "single string"),
        (lambda _: pretrain(TEXTS, validation=[]), "validation is an empty list"),
        (lambda _: train_word_vectors([]), "none of the 0 words"),
        (lambda _: train_word_vectors([1]), r"texts\[0\] is a int"),
        (lambda _: score_unlabelled(["a"], []), "unlabelled must be a list of at least one"),
        (lambda _: score_unlabelled([1], ["a"]), r"positives\[0\] is a int"),
    ],
)
def test_what_cannot_be_done_says_so(models, call, message):
    with pytest.raises(InputError, match=message):
        call(models)


def test_any_iterable_of_texts_will_do(models):
    texts = ["ada saw rome"]
    expected = models["tagger"].predict(texts)
    assert models["tagger"].predict(iter(texts)) == models["tagger"].predict(np.array(texts)) == expected
    assert models["encoder"].encode(iter(TEXTS)).shape == (20, 8)
