"""Client of a running service: lists and vectors as frames and arrays, synchronously or with ``await``.

::

    with Client("http://127.0.0.1:8125") as client:
        client.recommend(users=[7, 8], k=3)  # polars frame, as Recommender.recommend gives it
        client.embed(["a text"])  # float32 [n, dim]

    async with AsyncClient("http://127.0.0.1:8125") as client:
        await client.recommend(history=[12, 7, 31])

Settings are those of the requests (``/openapi.json``); more than 64 users or texts are sent in parts. A service that is
full (503) is asked again after the time that it names.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.serving import calls
from recsys_bert.serving.calls import Call

_PATIENCE_S = 10.0  # most seconds to wait before asking again
Pairs = Sequence[tuple[str, str]]


class ServiceError(Exception):
    """The service refused a request, or failed.

    Args:
        status: HTTP status.
        message: What the service says.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Client:
    """Synchronous client.

    Args:
        url: Address of the service.
        key: API key, where it needs one.
        timeout_s: Seconds until a request is given up.
        retries: Times that a request is sent again to a service that is full.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 60.0, retries: int = 3) -> None:
        self._retries = retries
        self._http = httpx2.Client(base_url=url, headers=_headers(key), timeout=timeout_s)

    def recommend(self, users: Any = None, *, histories: Any = None, **settings: Any) -> pl.DataFrame:
        """Lists of users, of histories, or one from ``user_id``, ``history`` …; see ``Recommender.recommend``."""
        return self._call(calls.recommend(users, histories, settings))

    def similar(self, items: Any, **settings: Any) -> pl.DataFrame:
        """Items nearest to items; see ``Recommender.similar``."""
        return self._call(calls.similar(items, settings))

    def score(self, pairs: Any) -> pl.DataFrame:
        """Scores of pairs of ``user_id`` and ``item_id``."""
        return self._call(calls.score(pairs))

    def rank(self, **settings: Any) -> pl.DataFrame:
        """Candidates of ``user_id`` by click probability: ``item_id``, ``rank``, probabilities, title."""
        return self._call(calls.rank(settings))

    def events(self, rows: Any) -> dict[str, Any]:
        """Append events: a frame or a list of dicts with ``user_id``, ``item_id`` and, optionally, ``timestamp``."""
        return self._call(calls.events(rows))

    def embed(self, texts: Sequence[str], **settings: Any) -> NDArray[np.float32]:
        """Vectors ``[n, dim]`` of texts."""
        return self._call(calls.embed(texts, settings))

    def classify(self, texts: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
        """Label, labels and probabilities of each text."""
        return self._call(calls.texts("/classify", "texts", texts, "results", settings))

    def match(self, pairs: Pairs, **settings: Any) -> list[dict[str, Any]]:
        """Similarity of each pair of texts, and whether they match."""
        return self._call(calls.texts("/match", "pairs", _pairs("first", "second", pairs), "results", settings))

    def answer(self, questions: Pairs, **settings: Any) -> list[dict[str, Any] | None]:
        """Answer of each (question, passage): text, start, stop, score; None where there is none."""
        bodies = _pairs("question", "passage", questions)
        return self._call(calls.texts("/answer", "questions", bodies, "answers", settings))

    def tag(self, texts: Sequence[str], **settings: Any) -> list[list[dict[str, Any]]]:
        """Entities of each text."""
        return self._call(calls.texts("/tag", "texts", texts, "results", settings))

    def generate(self, texts: Sequence[str], **settings: Any) -> list[list[dict[str, Any]]]:
        """Generated texts of each source or prompt, the best first; ``decoding={"search": …}`` changes how."""
        return self._call(calls.texts("/generate", "texts", texts, "results", settings))

    def ready(self) -> dict[str, Any]:
        """State of the service and its runs."""
        state: dict[str, Any] = self._http.get("/ready").json()
        return state

    def _call(self, call: Call) -> Any:
        return call.read([self._post(call.path, body) for body in call.bodies])

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        for attempt in range(self._retries + 1):
            response = self._http.post(path, json=body)
            if (wait := _wait(response, attempt, self._retries)) is None:
                return _answer(response)
            time.sleep(wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """Client whose methods are awaited; they are those of ``Client``.

    Args:
        url: Address of the service.
        key: API key, where it needs one.
        timeout_s: Seconds until a request is given up.
        retries: Times that a request is sent again to a service that is full.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 60.0, retries: int = 3) -> None:
        self._retries = retries
        self._http = httpx2.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout_s)

    async def recommend(self, users: Any = None, *, histories: Any = None, **settings: Any) -> pl.DataFrame:
        """See ``Client.recommend``."""
        return await self._call(calls.recommend(users, histories, settings))

    async def similar(self, items: Any, **settings: Any) -> pl.DataFrame:
        """See ``Client.similar``."""
        return await self._call(calls.similar(items, settings))

    async def score(self, pairs: Any) -> pl.DataFrame:
        """See ``Client.score``."""
        return await self._call(calls.score(pairs))

    async def rank(self, **settings: Any) -> pl.DataFrame:
        """See ``Client.rank``."""
        return await self._call(calls.rank(settings))

    async def events(self, rows: Any) -> dict[str, Any]:
        """See ``Client.events``."""
        return await self._call(calls.events(rows))

    async def embed(self, texts: Sequence[str], **settings: Any) -> NDArray[np.float32]:
        """See ``Client.embed``."""
        return await self._call(calls.embed(texts, settings))

    async def classify(self, texts: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
        """See ``Client.classify``."""
        return await self._call(calls.texts("/classify", "texts", texts, "results", settings))

    async def match(self, pairs: Pairs, **settings: Any) -> list[dict[str, Any]]:
        """See ``Client.match``."""
        return await self._call(calls.texts("/match", "pairs", _pairs("first", "second", pairs), "results", settings))

    async def answer(self, questions: Pairs, **settings: Any) -> list[dict[str, Any] | None]:
        """See ``Client.answer``."""
        bodies = _pairs("question", "passage", questions)
        return await self._call(calls.texts("/answer", "questions", bodies, "answers", settings))

    async def tag(self, texts: Sequence[str], **settings: Any) -> list[list[dict[str, Any]]]:
        """See ``Client.tag``."""
        return await self._call(calls.texts("/tag", "texts", texts, "results", settings))

    async def generate(self, texts: Sequence[str], **settings: Any) -> list[list[dict[str, Any]]]:
        """See ``Client.generate``."""
        return await self._call(calls.texts("/generate", "texts", texts, "results", settings))

    async def ready(self) -> dict[str, Any]:
        """See ``Client.ready``."""
        state: dict[str, Any] = (await self._http.get("/ready")).json()
        return state

    async def _call(self, call: Call) -> Any:
        return call.read(await asyncio.gather(*(self._post(call.path, body) for body in call.bodies)))

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        for attempt in range(self._retries + 1):
            response = await self._http.post(path, json=body)
            if (wait := _wait(response, attempt, self._retries)) is None:
                return _answer(response)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _pairs(first: str, second: str, pairs: Pairs) -> list[dict[str, str]]:
    return [{first: one, second: other} for one, other in pairs]


def _wait(response: httpx2.Response, attempt: int, retries: int) -> float | None:
    """Seconds until a refused request is sent again; None where its answer counts."""
    if response.status_code != 503 or attempt == retries:
        return None
    after = response.headers.get("retry-after", "1")
    return min(float(after) if after.isdigit() else 1.0, _PATIENCE_S)


def _answer(response: httpx2.Response) -> Any:
    """The answer.

    Raises:
        ServiceError: The request was refused.
    """
    if response.status_code == 200:
        return response.json()
    try:
        message = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200]
    raise ServiceError(response.status_code, message)
