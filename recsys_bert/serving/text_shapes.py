"""Requests and responses of text tasks."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from recsys_bert.serving.shapes import Count, OfRun, Shape

Texts = Annotated[list[StrictStr], Field(min_length=1)]


class EmbeddingsRequest(Shape):
    """Vectors of texts, in the shape of OpenAI's API."""

    input: StrictStr | Texts
    model: StrictStr | None = None
    """Name of the run; by default the first with text vectors."""
    encoding_format: Literal["float", "base64"] = "float"
    user: StrictStr | None = None
    """Accepted for OpenAI's clients; nothing reads it."""


class Embedding(Shape):
    """A vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32."""


class Usage(Shape):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Shape):
    """Vectors in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class RerankRequest(OfRun):
    """Documents by relevance to a query, with a matcher or the vectors of a text encoder."""

    query: StrictStr
    documents: Texts
    top_n: Count | None = None
    return_documents: StrictBool = False


class RerankResult(Shape):
    """A document."""

    index: int
    relevance_score: float
    document: str | None = None


class RerankResponse(Shape):
    """Documents, the most relevant first."""

    run: str
    results: list[RerankResult]


class ClassifyRequest(OfRun):
    """Texts to classify."""

    texts: Texts
    k: Count | None = None
    """Most probable labels to give the probabilities of; by default all."""


class Classified(Shape):
    """A text's label or labels."""

    label: str | None
    """The most probable one; null where none of several reaches its threshold."""
    labels: list[str]
    """Predicted labels: one, or all that reach their thresholds."""
    probabilities: dict[str, float]


class ClassifyResponse(Shape):
    """Labels in the order of the texts."""

    run: str
    results: list[Classified]


class MatchRequest(OfRun):
    """Pairs of texts to compare."""

    pairs: Annotated[list["TextPair"], Field(min_length=1)]


class TextPair(Shape):
    """Two texts."""

    first: StrictStr
    second: StrictStr


class Matched(Shape):
    """A pair's similarity."""

    similarity: float
    match: bool | None
    """Null where the matcher has no threshold."""


class MatchResponse(Shape):
    """Similarities in the order of the pairs."""

    run: str
    results: list[Matched]


class AnswerRequest(OfRun):
    """Questions about passages."""

    questions: Annotated[list["Question"], Field(min_length=1)]


class Question(Shape):
    """A question and the passage that may answer it."""

    question: StrictStr
    passage: StrictStr


class Answered(Shape):
    """A span of the passage; null where there is no answer."""

    text: str
    start: int
    stop: int
    score: float


class AnswerResponse(Shape):
    """Answers in the order of the questions."""

    run: str
    answers: list[Answered | None]


class TagRequest(OfRun):
    """Texts whose entities are wanted."""

    texts: Texts


class TaggedEntity(Shape):
    """An entity; ``start`` and ``stop`` are characters of the text."""

    text: str
    type: str
    start: int
    stop: int
    score: float


class TagResponse(Shape):
    """Entities in the order of the texts."""

    run: str
    results: list[list[TaggedEntity]]


class GenerateRequest(OfRun):
    """Sources, or prompts to continue."""

    texts: Texts
    stream: StrictBool = False
    """One text, as lines of JSON while it is generated, greedily or by sampling."""
    decoding: "Decoding" = Field(default_factory=lambda: Decoding())


class Decoding(Shape):
    """Settings of decoding; those left out are the generator's."""

    search: Literal["greedy", "beam", "sample"] | None = None
    beams: Count | None = None
    length_penalty: float | None = None
    n_best: Count | None = None
    temperature: float | None = None
    top_k: StrictInt | None = None
    top_p: float | None = None
    seed: StrictInt | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram: StrictInt | None = None
    min_length: StrictInt | None = None
    max_length: Count | None = None


class GeneratedText(Shape):
    """A generated text."""

    text: str
    log_probability: float
    finished: bool
    """False if it was cut off at the maximum length."""


class GenerateResponse(Shape):
    """Generated texts of each text, the best first."""

    run: str
    results: list[list[GeneratedText]]
