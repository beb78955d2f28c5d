"""The service as MCP tools over stdin and stdout, for assistants."""

import asyncio
import contextlib
import sys
from typing import Any

import pydantic
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from pipelines.serving import clicks, texts
from pipelines.serving import search as search_answers
from pipelines.serving.errors import request_error
from pipelines.serving.runs import RECOMMENDER
from pipelines.serving.service import Service
from recsys_bert.serving import search_shapes, shapes, text_shapes
from recsys_bert.version import __version__

Ids = list[int | str]
Filter = Ids | dict[str, list[str | int | float]]


def mcp_server(service: Service) -> MCPServer:
    """Tools for what the runs of a service can do: recommend, similar, search, embed.

    Args:
        service: Opened runs.
    """
    server = MCPServer(
        "recsys-bert",
        version=__version__,
        log_level="WARNING",
        instructions="Recommendations from a click log and vectors of texts, by locally trained models.",
    )
    kinds = {run.kind for run in service.runs.by_name.values()}
    if RECOMMENDER in kinds:
        _add_click_tools(server, service)
    if service.store is not None:
        _add_search_tool(server, service)
    if kinds & set(texts.VECTORS):
        _add_text_tools(server, service)
    return server


def _add_click_tools(server: MCPServer, service: Service) -> None:
    @server.tool()
    async def recommend(
        user_id: int | str | None = None,
        history: Ids | None = None,
        k: int = 10,
        only: Filter | None = None,
        without: Filter | None = None,
        diversity: float = 0.0,
        run: str | None = None,
    ) -> dict[str, Any]:
        """Recommend the items that a user will most probably choose next, with scores and titles.

        Args:
            user_id: User of the log; unknown ones get popular items.
            history: Item ids that the user chose, oldest first; after the user's own events, if user_id is given too.
            k: Number of items.
            only: Allowed items: ids, or values by column such as {"category": ["Books"]}.
            without: Items that must not come, likewise.
            diversity: From 0 (by score alone) to below 1 (as different as possible).
            run: Name of the trained run; leave out for the first.
        """
        body = {"user_id": user_id, "history": history, "k": k, "only": only, "without": without, "run": run}
        return await _answer(service, clicks.recommend, shapes.RecommendRequest, body | {"diversity": diversity})

    @server.tool()
    async def similar(items: Ids, k: int = 10, only: Filter | None = None, run: str | None = None) -> dict[str, Any]:
        """Find the items that are most alike to given items, by how users choose them.

        Args:
            items: Item ids.
            k: Number of items for each.
            only: Allowed items: ids, or values by column.
            run: Name of the trained run; leave out for the first.
        """
        body = {"items": items, "k": k, "only": only, "run": run}
        return await _answer(service, clicks.similar, shapes.SimilarRequest, body)


def _add_search_tool(server: MCPServer, service: Service) -> None:
    @server.tool()
    async def search(
        query: str | None = None,
        item_id: int | str | None = None,
        user_id: int | str | None = None,
        filter: str | None = None,
        k: int = 10,
    ) -> dict[str, Any]:
        """Search the items by words, by likeness to an item or to a user, or by words and likeness together.

        Args:
            query: Words; any may match.
            item_id: Item that results should be like.
            user_id: User that results should suit; give one of item_id and user_id at most.
            filter: Condition on columns, such as price < 20 and brand in ("a", "b").
            k: Number of items.
        """
        body = {"query": query, "item_id": item_id, "user_id": user_id, "filter": filter, "k": k}
        return await _answer(service, search_answers.search, search_shapes.SearchRequest, body)


def _add_text_tools(server: MCPServer, service: Service) -> None:
    @server.tool()
    async def embed(input: list[str], model: str | None = None) -> dict[str, Any]:
        """Vectors of texts, whose cosine says how alike the texts are.

        Args:
            input: The texts.
            model: Name of the trained run; leave out for the first.
        """
        return await _answer(service, texts.embeddings, text_shapes.EmbeddingsRequest, {"input": input, "model": model})


async def _answer(service: Service, answer: Any, kind: type[shapes.Shape], body: dict[str, Any]) -> dict[str, Any]:
    """Check a request as the HTTP service does, and answer it.

    Raises:
        ToolError: It is refused; the message is for the client.
    """
    try:
        request = kind.model_validate({name: value for name, value in body.items() if value is not None})
        response: dict[str, Any] = (await answer(service, request)).model_dump(mode="json", exclude_none=True)
        return response
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except Exception as error:
        refused = request_error(error)
        if refused is None:
            raise
        raise ToolError(refused.message) from error


def serve_mcp(service: Service) -> None:
    """Serve until stdin ends or Ctrl-C."""
    with contextlib.redirect_stdout(sys.__stdout__):
        asyncio.run(mcp_server(service).run_stdio_async())
