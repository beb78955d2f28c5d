"""Answers about texts equal those of the library."""

import base64

import numpy as np
import pytest

from nlp_tasks import Classifier, Matcher, QuestionAnswerer, Tagger, TextEncoder

TEXTS = ["Ada the rower lives in Oslo", "é", "Sven lives", "<script>alert(1)</script> \x00 \u202e ../../x"]


def test_vectors_are_those_of_the_encoder_in_openais_shape(texts, text_runs):
    expected = TextEncoder.load(text_runs / "words").encode(TEXTS)
    answer = texts.ok("/v1/embeddings", input=TEXTS, model="words")
    assert answer["object"] == "list"
    assert answer["model"] == "words"
    assert [(row["object"], row["index"]) for row in answer["data"]] == [("embedding", n) for n in range(4)]
    np.testing.assert_allclose([row["embedding"] for row in answer["data"]], expected, atol=1e-5)
    packed = texts.ok("/v1/embeddings", input=TEXTS, encoding_format="base64", user="me")
    vectors = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in packed["data"]]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    inputs = TextEncoder.load(text_runs / "words").inputs(TEXTS)
    assert answer["usage"] == {"prompt_tokens": len(inputs.ids), "total_tokens": len(inputs.ids)}
    (one,) = texts.ok("/v1/embeddings", input=TEXTS[0])["data"]
    np.testing.assert_allclose(one["embedding"], expected[0], atol=1e-5)


@pytest.mark.parametrize(("run", "kind"), [("bi", Matcher), ("topics", Classifier)])
def test_matchers_and_classifiers_give_vectors_too(texts, text_runs, run, kind):
    answer = texts.ok("/v1/embeddings", input=TEXTS, model=run)
    expected = kind.load(text_runs / run).encode(TEXTS)
    np.testing.assert_allclose([row["embedding"] for row in answer["data"]], expected, atol=1e-5)
    assert answer["usage"]["prompt_tokens"] > 4


def test_labels_are_those_of_the_classifier(texts, text_runs):
    classifier = Classifier.load(text_runs / "topics")
    results = texts.ok("/classify", texts=TEXTS)["results"]
    assert [result["label"] for result in results] == classifier.predict(TEXTS)
    table = [[result["probabilities"][name] for name in classifier.names] for result in results]
    np.testing.assert_allclose(table, classifier.probabilities(TEXTS), atol=1e-6)
    (short,) = texts.ok("/classify", texts=TEXTS[:1], k=1)["results"]
    assert list(short["probabilities"]) == [short["label"]]


@pytest.mark.parametrize("run", ["bi", "cross"])
def test_similarities_are_those_of_the_matcher(texts, text_runs, run):
    matcher = Matcher.load(text_runs / run)
    pairs = [{"first": TEXTS[0], "second": text} for text in TEXTS]
    results = texts.ok("/match", run=run, pairs=pairs)["results"]
    similarity = matcher.similarity([TEXTS[0]] * 4, TEXTS)
    np.testing.assert_allclose([result["similarity"] for result in results], similarity, atol=1e-5)
    assert [result["match"] for result in results] == matcher.predict([TEXTS[0]] * 4, TEXTS).tolist()


@pytest.mark.parametrize("run", ["bi", "cross", "words"])
def test_documents_are_ranked_by_relevance(texts, text_runs, run):
    if run == "words":
        scores = TextEncoder.load(text_runs / run).similarity(["Ada in Oslo"], TEXTS)[0]
    else:
        scores = Matcher.load(text_runs / run).similarity(["Ada in Oslo"] * 4, TEXTS)
    answer = texts.ok("/rerank", run=run, query="Ada in Oslo", documents=TEXTS, top_n=3, return_documents=True)
    assert [result["index"] for result in answer["results"]] == np.argsort(-scores, kind="stable")[:3].tolist()
    for result in answer["results"]:
        assert result["relevance_score"] == pytest.approx(scores[result["index"]], abs=1e-5)
        assert result["document"] == TEXTS[result["index"]]


def test_answers_and_entities(texts, text_runs):
    questions = [{"question": "where does Ada live ?", "passage": text} for text in TEXTS]
    answers = texts.ok("/answer", questions=questions)["answers"]
    expected = QuestionAnswerer.load(text_runs / "answers").predict(["where does Ada live ?"] * 4, TEXTS)
    for answer, want, text in zip(answers, expected, TEXTS, strict=True):
        assert (answer and (answer["start"], answer["stop"])) == (want and (want.start, want.stop))
        assert answer is None or answer["text"] == text[answer["start"] : answer["stop"]]
    results = texts.ok("/tag", texts=TEXTS)["results"]
    entities = Tagger.load(text_runs / "names").predict(TEXTS)
    assert [[(one["type"], one["start"], one["stop"]) for one in row] for row in results] == [
        [(one.type, one.start, one.stop) for one in row] for row in entities
    ]


BAD = [
    ("/v1/embeddings", {"input": []}, "input"),
    ("/v1/embeddings", {"input": ["a", " "]}, "input[1] is empty"),
    ("/v1/embeddings", {"input": [[1, 2]]}, "input"),
    ("/v1/embeddings", {"input": "x" * 20_001}, "20,001 characters"),
    ("/v1/embeddings", {"input": ["x"] * 65}, "65 is more than 64"),
    ("/v1/embeddings", {"input": "a", "model": "cross"}, "no run of that name"),
    ("/v1/embeddings", {"input": "a", "model": "../bi"}, "no run of that name"),
    ("/classify", {"texts": ["a"], "k": 0}, "k"),
    ("/rerank", {"query": "", "documents": ["a"]}, "query[0] is empty"),
    ("/answer", {"questions": [{"question": "a", "passage": ""}]}, "questions.passage[0] is empty"),
    ("/match", {"pairs": [{"first": "a"}]}, "pairs.0.second"),
    ("/recommend", {"user_id": 1}, "no run of the kind recommender"),
]


@pytest.mark.parametrize(("path", "body", "message"), BAD, ids=[f"{path}-{message[:20]}" for path, _, message in BAD])
def test_bad_requests_are_told_why(texts, path, body, message):
    assert message in texts.refused(path, **body)
