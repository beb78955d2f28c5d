"""The page and the list of requests: files that lie beside this one, served as they are; no network is needed."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import Response

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_PAGE = ("page.css", *(f"{name}.js" for name in ("app", "api", "dom", "lists", "search", "user", "map", "texts")))
_PAGE += ("attention.js", "items.js")
_SHARED = ("style.css", "attention.css", "point_map.js", "attention_view.js")
_FILES = {
    "/": ("pipelines.serving", "page/index.html"),
    **{f"/page/{name}": ("pipelines.serving", f"page/{name}") for name in _PAGE},
    **{f"/page/{name}": ("recsys_bert.pages", name) for name in _SHARED},
    "/docs": ("pipelines.serving", "docs/page.html"),
    "/docs.css": ("pipelines.serving", "docs/docs.css"),
    "/docs.js": ("pipelines.serving", "docs/docs.js"),
}

PATHS = tuple(_FILES)
"""Paths of the files; nothing of runs or data is in them."""


def add_files(app: FastAPI) -> None:
    """Serve the files."""
    for path, (package, name) in _FILES.items():
        content = files(package).joinpath(name).read_bytes()
        app.get(path, include_in_schema=False)(_constant(content, _KINDS[name.rpartition(".")[2]]))


def _constant(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def respond() -> Response:
        return Response(content, media_type=kind)

    return respond
