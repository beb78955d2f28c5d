"""Answers of text runs."""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.runs import ANSWERER, BI_ENCODER, CLASSIFIER, CROSS_ENCODER, ENCODER, TAGGER, Run
from pipelines.serving.service import Service
from recsys_bert.serving import text_shapes as shapes

MATCHERS = (CROSS_ENCODER, BI_ENCODER)
VECTORS = (ENCODER, BI_ENCODER, CLASSIFIER)
"""Kinds of runs that give vectors of texts."""


async def embeddings(service: Service, request: shapes.EmbeddingsRequest) -> shapes.EmbeddingsResponse:
    """Vectors of texts, in the shape of OpenAI's API."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    service.limits.check_texts("input", texts)
    run = service.runs.one(VECTORS, request.model)
    vectors, tokens = await encode(service, run, texts)
    as_base64 = request.encoding_format == "base64"
    data = [
        shapes.Embedding.model_construct(index=number, embedding=_base64(row) if as_base64 else row.tolist())
        for number, row in enumerate(vectors)
    ]
    usage = shapes.Usage(prompt_tokens=tokens, total_tokens=tokens)
    return shapes.EmbeddingsResponse.model_construct(data=data, model=run.name, usage=usage)


async def encode(service: Service, run: Run, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
    """Vectors of texts ``[n, dim]``, and the number of tokens that were read."""
    compute = joined(_encoder(run))
    pairs = await service.compute(run, "encode", compute, list(texts), cost_of(texts))
    return np.stack([vector for vector, _ in pairs]), sum(tokens for _, tokens in pairs)


async def rerank(service: Service, request: shapes.RerankRequest) -> shapes.RerankResponse:
    """Documents by relevance to a query: by a matcher, or by the cosine of text vectors."""
    service.limits.check_texts("documents", request.documents)
    service.limits.check_texts("query", [request.query])
    run = service.runs.one((*MATCHERS, ENCODER), request.run)
    if run.kind == CROSS_ENCODER:
        pairs = [(request.query, document) for document in request.documents]
        scores = await _similarities(service, run, pairs)
    else:
        vectors, _ = await encode(service, run, [request.query, *request.documents])
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        scores = (vectors[1:] @ vectors[0]).tolist()
    order = sorted(range(len(scores)), key=lambda number: -scores[number])[: request.top_n]
    results = [
        shapes.RerankResult(
            index=number,
            relevance_score=scores[number],
            document=request.documents[number] if request.return_documents else None,
        )
        for number in order
    ]
    return shapes.RerankResponse(run=run.name, results=results)


async def classify(service: Service, request: shapes.ClassifyRequest) -> shapes.ClassifyResponse:
    """Label or labels of each text, with probabilities."""
    service.limits.check_texts("texts", request.texts)
    run = service.runs.one((CLASSIFIER,), request.run)
    model = run.model
    rows = await service.compute(
        run, "classify", joined(model.probabilities), list(request.texts), cost_of(request.texts)
    )
    return shapes.ClassifyResponse(run=run.name, results=[_classified(model, row, request.k) for row in rows])


async def match(service: Service, request: shapes.MatchRequest) -> shapes.MatchResponse:
    """Similarity of each pair of texts, and whether they match."""
    pairs = [(pair.first, pair.second) for pair in request.pairs]
    service.limits.check_texts("pairs.first", [first for first, _ in pairs])
    service.limits.check_texts("pairs.second", [second for _, second in pairs])
    run = service.runs.one(MATCHERS, request.run)
    least = run.model.threshold
    results = [
        shapes.Matched(similarity=value, match=None if least is None else value >= least)
        for value in await _similarities(service, run, pairs)
    ]
    return shapes.MatchResponse(run=run.name, results=results)


async def answer(service: Service, request: shapes.AnswerRequest) -> shapes.AnswerResponse:
    """Answer of each question: a span of its passage."""
    questions = [(one.question, one.passage) for one in request.questions]
    service.limits.check_texts("questions.question", [question for question, _ in questions])
    service.limits.check_texts("questions.passage", [passage for _, passage in questions])
    run = service.runs.one((ANSWERER,), request.run)

    def predict(pairs: list[tuple[str, str]]) -> Any:
        return run.model.predict([question for question, _ in pairs], [passage for _, passage in pairs])

    cost = cost_of(passage for _, passage in questions)
    spans = await service.compute(run, "answer", joined(predict), questions, cost)
    answers = [
        None if one is None else shapes.Answered(text=one.text, start=one.start, stop=one.stop, score=one.score)
        for one in spans
    ]
    return shapes.AnswerResponse(run=run.name, answers=answers)


async def tag(service: Service, request: shapes.TagRequest) -> shapes.TagResponse:
    """Entities of each text."""
    service.limits.check_texts("texts", request.texts)
    run = service.runs.one((TAGGER,), request.run)
    lists = await service.compute(run, "tag", joined(run.model.predict), list(request.texts), cost_of(request.texts))
    results = [
        [
            shapes.TaggedEntity(text=one.text, type=one.type, start=one.start, stop=one.stop, score=one.score)
            for one in entities
        ]
        for entities in lists
    ]
    return shapes.TagResponse(run=run.name, results=results)


async def _similarities(service: Service, run: Run, pairs: list[tuple[str, str]]) -> list[float]:
    def compare(all_pairs: list[tuple[str, str]]) -> Any:
        return run.model.similarity([first for first, _ in all_pairs], [second for _, second in all_pairs])

    cost = cost_of(text for pair in pairs for text in pair)
    return [float(value) for value in await service.compute(run, "match", joined(compare), pairs, cost)]


def _encoder(run: Run) -> Callable[[list[str]], list[tuple[NDArray[np.float32], int]]]:
    """Vector and number of tokens of each text."""

    def compute(texts: list[str]) -> list[tuple[NDArray[np.float32], int]]:
        if run.kind == BI_ENCODER:
            vectors, lengths = run.model.encode(texts), run.model.tokenizer(texts).lengths
        else:
            inputs = run.model.inputs(texts)
            vectors = run.model.encode(inputs)
            lengths = np.bincount(inputs.owner, inputs.lengths, len(texts))
        return list(zip(vectors, lengths.astype(int).tolist(), strict=True))

    return compute


def joined(compute: Callable[[list[Any]], Any]) -> Callable[[list[Any]], list[Any]]:
    """Compute the items of several requests at once; a list of results for each."""

    def run(batch: list[list[Any]]) -> list[Any]:
        results = iter(compute([item for items in batch for item in items]))
        return [[next(results) for _ in items] for items in batch]

    return run


def cost_of(texts: Iterable[str]) -> int:
    """Tokens of texts, roughly: four bytes each."""
    return sum(2 + len(text.encode("utf-8", "replace")) // 4 for text in texts)


def _base64(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def _classified(model: Any, probabilities: NDArray[np.float64], k: int | None) -> shapes.Classified:
    order = np.argsort(-probabilities, kind="stable")
    predicted = model.predicted(probabilities[None])[0]
    labels = [model.names[number] for number in order if predicted[number]]
    return shapes.Classified(
        label=labels[0] if labels else None,
        labels=labels,
        probabilities={model.names[number]: float(probabilities[number]) for number in order[:k]},
    )
