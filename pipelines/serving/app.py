"""The FastAPI application: typed endpoints over the answers, errors without stack traces."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from pipelines.serving import attention, catalogue, clicks, generation, items, maps, search, static, texts
from pipelines.serving.errors import FAULT, KNOWN, request_error
from pipelines.serving.guard import Guard, GuardSettings
from pipelines.serving.metrics import CONTENT_TYPE, Metrics
from pipelines.serving.runs import ANSWERER, CLASSIFIER, CTR, ENCODER, GENERATOR, RECOMMENDER, TAGGER
from pipelines.serving.service import Service
from recsys_bert.serving import page_shapes as page
from recsys_bert.serving import search_shapes, shapes
from recsys_bert.serving import text_shapes as text
from recsys_bert.version import __version__


@dataclass(frozen=True)
class Endpoint:
    """A typed POST endpoint.

    Args:
        path: Its path.
        answer: ``(service, request) -> response``; its docstring is the summary.
        request: Type of the body.
        response: Type of the answer.
        kinds: Kinds of runs that can answer.
    """

    path: str
    answer: Callable[[Service, Any], Awaitable[Any]]
    request: type[shapes.Shape]
    response: type[shapes.Shape]
    kinds: tuple[str, ...]


ENDPOINTS = (
    Endpoint("/recommend", clicks.recommend, shapes.RecommendRequest, shapes.RecommendResponse, (RECOMMENDER,)),
    Endpoint("/similar", clicks.similar, shapes.SimilarRequest, shapes.SimilarResponse, (RECOMMENDER,)),
    Endpoint("/score", clicks.score, shapes.ScoreRequest, shapes.ScoreResponse, (RECOMMENDER,)),
    Endpoint("/rank", clicks.rank, shapes.RankRequest, shapes.RankResponse, (CTR,)),
    Endpoint("/events", clicks.events, shapes.EventsRequest, shapes.EventsResponse, (RECOMMENDER,)),
    Endpoint("/items", items.put_items, shapes.PutItemsRequest, shapes.PutItemsResponse, (RECOMMENDER,)),
    Endpoint(
        "/items/delete", items.delete_items, shapes.DeleteItemsRequest, shapes.DeleteItemsResponse, (RECOMMENDER,)
    ),
    Endpoint("/search", search.search, search_shapes.SearchRequest, search_shapes.SearchResponse, (RECOMMENDER,)),
    Endpoint("/catalogue", catalogue.catalogue, page.CatalogueRequest, page.CatalogueResponse, (RECOMMENDER,)),
    Endpoint("/items/find", catalogue.find_items, page.FindItemsRequest, page.ItemsResponse, (RECOMMENDER,)),
    Endpoint("/items/get", catalogue.get_items, page.GetItemsRequest, page.ItemsResponse, (RECOMMENDER,)),
    Endpoint("/users/find", catalogue.find_users, page.FindUsersRequest, page.UsersResponse, (RECOMMENDER,)),
    Endpoint("/users/history", catalogue.history, page.HistoryRequest, page.HistoryResponse, (RECOMMENDER,)),
    Endpoint("/map", maps.item_map, page.MapRequest, page.MapResponse, (RECOMMENDER,)),
    Endpoint("/map/colours", maps.map_colours, page.MapColoursRequest, page.MapColoursResponse, (RECOMMENDER,)),
    Endpoint("/attention", attention.attention, page.AttentionRequest, page.AttentionResponse, attention.KINDS),
    Endpoint("/v1/embeddings", texts.embeddings, text.EmbeddingsRequest, text.EmbeddingsResponse, texts.VECTORS),
    Endpoint("/rerank", texts.rerank, text.RerankRequest, text.RerankResponse, (*texts.MATCHERS, ENCODER)),
    Endpoint("/classify", texts.classify, text.ClassifyRequest, text.ClassifyResponse, (CLASSIFIER,)),
    Endpoint("/match", texts.match, text.MatchRequest, text.MatchResponse, texts.MATCHERS),
    Endpoint("/answer", texts.answer, text.AnswerRequest, text.AnswerResponse, (ANSWERER,)),
    Endpoint("/tag", texts.tag, text.TagRequest, text.TagResponse, (TAGGER,)),
    Endpoint("/generate", generation.generate, text.GenerateRequest, text.GenerateResponse, (GENERATOR,)),
)


def create_app(service: Service, guard: GuardSettings | None = None, watch_s: float = 0.0) -> Guard:
    """Build the application.

    Args:
        service: Opened runs.
        guard: Rules of requests; None: the defaults, with the body limit of the service.
        watch_s: Seconds between looks at the run folders, which are loaded again when they change; 0: never.
    """
    metrics = Metrics()
    metrics.watch(service)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.ensure_future(service.watch(watch_s)) if watch_s else None
        yield
        if watch is not None:
            watch.cancel()
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="recsys-bert", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    for endpoint in ENDPOINTS:
        _add(app, service, endpoint)
    guard = guard or GuardSettings(body_bytes=service.limits.body_kib << 10)
    _add_state(app, service, metrics, has_key=guard.key is not None)
    static.add_files(app)
    _add_errors(app)
    admitted = [endpoint.path for endpoint in ENDPOINTS if endpoint.answer is not clicks.events]
    return Guard(app, guard, metrics, admitted)


def _add(app: FastAPI, service: Service, endpoint: Endpoint) -> None:
    async def respond(body: Any) -> Response:
        answer = await endpoint.answer(service, body)
        if isinstance(answer, Response):  # a stream
            return answer
        return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")

    respond.__annotations__["body"] = endpoint.request
    respond.__name__ = endpoint.answer.__name__
    respond.__doc__ = endpoint.answer.__doc__
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": shapes.ErrorResponse} for status in (401, 404, 413, 422, 503, 504)
    }
    app.post(endpoint.path, response_model=endpoint.response, responses=errors)(respond)


def _add_state(app: FastAPI, service: Service, metrics: Metrics, *, has_key: bool) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Alive: the process answers."""
        return {"status": "ok"}

    @app.get("/ready", response_model=shapes.ReadyResponse)
    async def ready() -> Response:
        """Ready: runs are loaded, the queue has room, and the service is not stopping (else 503)."""
        reason, last_error = service.not_ready, service.last_error
        if last_error is not None and has_key:  # this path is open to all, and an error names folders
            last_error = "the log says why the last reload was refused."
        answer = shapes.ReadyResponse(
            ready=reason is None,
            reason=reason,
            runs=[_info(run) for run in service.runs.by_name.values()],
            generation=service.runs.generation,
            last_error=last_error,
        )
        content = answer.model_dump_json(exclude_none=True)
        return Response(content, 200 if reason is None else 503, media_type="application/json")

    @app.get("/metrics")
    async def read_metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.post("/reload", response_model=shapes.ReadyResponse)
    async def reload() -> Response:
        """Load all runs again from their folders; requests go on meanwhile."""
        await service.reload()
        return await ready()

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())


def _info(run: Any) -> shapes.RunInfo:
    return shapes.RunInfo(
        name=run.name,
        kind=run.kind,
        endpoints=[endpoint.path for endpoint in ENDPOINTS if run.kind in endpoint.kinds and _can(run, endpoint)],
    )


def _can(run: Any, endpoint: Endpoint) -> bool:
    return endpoint.path != "/attention" or attention.can_show(run)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": _first(error)}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)[:300]}, error.status_code, error.headers)

    async def known(request: Request, error: Exception) -> JSONResponse:
        refusal = request_error(error) or FAULT  # a fault goes on to the guard, which logs it
        return JSONResponse({"error": refusal.message}, refusal.status, refusal.headers)

    for kind in (*KNOWN, Exception):
        app.add_exception_handler(kind, known)


def _first(error: RequestValidationError) -> str:
    """Place and reason of the first mistake; nothing of the input is sent back."""
    first = error.errors()[0]
    where = ".".join(str(part)[:60] for part in first["loc"] if part != "body")
    more = f" ({len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return f"{where or 'body'}: {first['msg']}{more}"
