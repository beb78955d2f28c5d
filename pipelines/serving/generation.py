"""Answers of generators: whole texts, or one text in lines as it is generated."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

from pipelines.serving.runs import GENERATOR, Run
from pipelines.serving.service import Service
from pipelines.serving.texts import cost_of, joined
from recsys_bert.errors import InputError
from recsys_bert.serving import text_shapes as shapes

_ALONE = itertools.count()
"""Numbers of requests that share no batch: draws depend on a text's number, and pieces go to one client."""


async def generate(service: Service, request: shapes.GenerateRequest) -> shapes.GenerateResponse | StreamingResponse:
    """Texts from sources or prompts; with ``stream`` one text, as lines of JSON while it is generated."""
    service.limits.check_texts("texts", request.texts)
    run = service.runs.one((GENERATOR,), request.run)
    settings = request.decoding.model_dump(exclude_none=True)
    for name in ("beams", "n_best"):
        service.limits.check(f"decoding.{name}", "lists", settings.get(name, 0))
    decoding = run.model.decoding_with(settings)
    cost = cost_of(request.texts) + len(request.texts) * decoding.max_length
    if request.stream:
        if len(request.texts) > 1:
            raise InputError(f"stream gives one text, but there are {len(request.texts)} in texts.")
        return await _streamed(service, run, request.texts[0], settings, cost)
    what = f"generate {next(_ALONE) if decoding.search == 'sample' else sorted(settings.items())}"
    lists = await service.compute(
        run, what, joined(lambda texts: run.model.candidates(texts, **settings)), list(request.texts), cost
    )
    results = [
        [
            shapes.GeneratedText(text=one.text, log_probability=one.log_probability, finished=one.finished)
            for one in some
        ]
        for some in lists
    ]
    return shapes.GenerateResponse(run=run.name, results=results)


async def _streamed(service: Service, run: Run, text: str, settings: dict[str, Any], cost: int) -> StreamingResponse:
    """Lines ``{"text": piece}`` and at the end ``{"done": true}``, or ``{"error": …}`` where it breaks off.

    What is wrong with the request is raised before the first line.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    left = False

    def compute(batch: list[Any]) -> list[None]:
        for piece in run.model.stream(text, **settings):
            if left:
                break
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
        return [None] * len(batch)

    computed = asyncio.ensure_future(service.compute(run, f"stream {next(_ALONE)}", compute, None, cost))
    computed.add_done_callback(lambda _: pieces.put_nowait(None))  # behind all pieces, which came the same way
    first = await pieces.get()
    if first is None:
        await computed  # raises what went wrong

    async def lines() -> AsyncIterator[str]:
        nonlocal left
        try:
            piece = first
            while piece is not None:
                yield _line({"text": piece})
                piece = await pieces.get()
            yield _line({"error": "the text broke off."} if computed.exception() else {"done": True})
        finally:
            left = True
            computed.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
