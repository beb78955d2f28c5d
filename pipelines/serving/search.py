"""Answers of searches in a store of vectors, columns and texts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipelines.serving.errors import RequestError
from pipelines.serving.runs import RECOMMENDER
from pipelines.serving.service import Service
from recsys_bert.errors import InputError
from recsys_bert.serving import search_shapes as shapes
from recsys_bert.serving.live_histories import Query

if TYPE_CHECKING:
    from recsys_bert.stores.vector_store import VectorStore


async def search(service: Service, request: shapes.SearchRequest) -> shapes.SearchResponse:
    """Items of the store by words, by vector or by both, under a filter."""
    service.limits.check("k", "k", request.k)
    if request.query is not None:
        service.limits.check_texts("query", [request.query])
    sources = [name for name in ("vector", "item_id", "user_id") if getattr(request, name) is not None]
    if len(sources) > 1:
        raise InputError(f"{' and '.join(sources)} are given; give one vector to search by.")
    if not sources and request.query is None:
        raise InputError("nothing to search by: give query, vector, item_id or user_id.")
    if (store := service.store) is None:
        raise RequestError(404, "this service was started without a store: --store FOLDER.")
    by_user = _user_vector(service, request) if request.user_id is not None else None

    def compute(batch: list[shapes.SearchRequest]) -> list[Any]:
        return [_search(store, one, by_user) for one in batch]

    items = await service.models.submit(("store", id(request)), compute, request)
    by = [*(["vector"] if sources else []), *(["words"] if request.query is not None else [])]
    return shapes.SearchResponse(by=by, items=items)


def _user_vector(service: Service, request: shapes.SearchRequest) -> Callable[[], list[float]]:
    run = service.runs.one([RECOMMENDER], request.run)
    return lambda: run.model.user_vector(Query(user_id=request.user_id)).tolist()


def _search(
    store: "VectorStore", request: shapes.SearchRequest, by_user: Callable[[], list[float]] | None
) -> list[shapes.SearchHit]:
    """Hits of one request, with texts and columns."""
    vector = request.vector
    if by_user is not None:
        vector = by_user()
    elif request.item_id is not None:
        (item,) = store.get([request.item_id])
        if item is None:
            raise InputError("this item is not in the store.")
        vector = item.vector.tolist()
    if vector is None:
        (matches,) = store.search_text([request.query or ""], request.k, request.filter)
    elif request.query is None:
        (matches,) = store.search([vector], request.k, request.filter)
    else:
        (matches,) = store.hybrid([vector], [request.query], request.k, request.filter)
    rows = store.get([match.id for match in matches])
    return [
        shapes.SearchHit(item_id=match.id, score=match.score, text=row.text, columns=row.columns)
        for match, row in zip(matches, rows, strict=True)
        if row is not None  # deleted since
    ]
