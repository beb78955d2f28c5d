"""Requests and responses of searches in a store."""

from typing import Annotated, Any

from pydantic import Field, StrictStr

from recsys_bert.serving.shapes import Count, Id, OfRun, Shape


class SearchRequest(OfRun):
    """Rows of the store by words, by a vector, or by both (reciprocal rank fusion), under a filter."""

    query: StrictStr | None = None
    """Words; any may match, rare ones count more (BM25)."""
    vector: Annotated[list[float], Field(min_length=1, max_length=4096)] | None = None
    """Vector that rows should be near to; at most one of ``vector``, ``item_id`` and ``user_id`` is given."""
    item_id: Id | None = None
    """Row whose vector is taken."""
    user_id: Id | None = None
    """User whose vector is taken, by the recommender ``run``."""
    filter: StrictStr | dict[str, Any] | None = None
    """``price < 20 and brand in ("a", "b")``, or the same as JSON."""
    k: Count = 10
    """Rows."""


class SearchHit(Shape):
    """A row of the store."""

    item_id: Id
    score: float
    """Inner product or cosine; BM25 of words alone; sum of reciprocal ranks of both."""
    text: str | None = None
    columns: dict[str, Any] = Field(default_factory=dict)


class SearchResponse(Shape):
    """Rows, the best first."""

    by: list[str]
    """``vector``, ``words``, or both."""
    items: list[SearchHit]
