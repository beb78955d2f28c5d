"""Milvus (https://milvus.io) through pymilvus; servers from 2.3 on.

One collection of rows. Strings that filters read are kept percent-encoded, so that no value can be part of an
expression. Where a filter leaves little, the rows that are left are compared here, as Milvus' HNSW loses half of the
nearest there. The index is IVF_FLAT, exact where all of its lists are looked at. Rows that were put by the thousand are
searched coarsely until ``persist`` has them indexed. Milvus 2.3 has no search by words: their rows are found by a list
of words and scored by BM25 here.
"""

import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.stores.backend import About, Row, Scored, StoredRow, StoreUnavailable, Vectors
from recsys_bert.stores.bm25 import bm25
from recsys_bert.stores.columns import MAX_ID_BYTES, MAX_STRING_BYTES
from recsys_bert.stores.filters import Filter
from recsys_bert.stores.milvus_expressions import encoded_string, expression_of
from recsys_bert.stores.row_index import EXACT_SHARE
from recsys_bert.stores.words import MAX_INDEXED_WORDS

try:
    from pymilvus import DataType, MilvusClient
    from pymilvus.exceptions import MilvusException
except ImportError as error:
    raise InputError("kind 'milvus' needs pymilvus: pip install 'recsys-bert[milvus]'.") from error

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback beside each error that it raises

_TYPES = {"int": DataType.INT64, "float": DataType.DOUBLE, "bool": DataType.BOOL, "str": DataType.VARCHAR}
_EMPTY: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False, "str": "", "tags": []}
_LISTS, _PROBES = 1_024, 128  # lists of the index, and those that a search without a filter looks at
_TIMEOUT_S, _RECOVERY_S = 30, 90
_PAGE = 10_000
_COMPARED = 50_000  # rows that a search fetches at most, to compare them here
_MEAN_OVER = 5_000  # texts of which the mean length is taken
_MOST_TAGS = 1_000
_COMING_BACK = ("not loaded", "not fully loaded", "no available", "channel", "recover", "not ready", "node", "leader")

Answer = TypeVar("Answer")


class Milvus:
    """Rows in one collection of a Milvus server.

    What this process put is in its next search; what another put, within a second.

    Args:
        place: ``http://host:19530``, with ``user:password@`` where the server wants them.
        name: Name of the collection.
        about: Settings of a store to make where there is none; None opens one that is there.

    Raises:
        InputError: There is no store and none is to be made, or it is another's.
        StoreUnavailable: The server does not answer.
    """

    def __init__(self, place: str, name: str, about: About | None) -> None:
        self._place, self._collection, self._lock = place, f"store_{name}", threading.RLock()
        self._client: MilvusClient | None = None
        self._level = "Strong"  # sees what other processes put before
        try:
            self.about = self._run(lambda client: self._settings(client, about), writes=True)
        except InputError:
            self.close()
            raise

    def put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """See ``Backend``."""
        kinds = list(self.about.columns.values())
        if any(
            kind == "tags" and value and len(value) > _MOST_TAGS
            for row in rows
            for kind, value in zip(kinds, row.values, strict=True)
        ):
            raise InputError(f"a row has more than {_MOST_TAGS:,} tags in one column, which Milvus cannot hold.")
        entities = [self._entity(row, vector) for row, vector in zip(rows, vectors, strict=True)]
        for start in range(0, len(entities), _PAGE):
            self._run(functools.partial(self._upsert, entities[start : start + _PAGE]), writes=True)

    def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend``."""
        encoded = list(map(encoded_string, keys))

        def work(client: MilvusClient) -> int:
            n = sum(
                self._n(client, f"key in {json.dumps(encoded[at : at + _PAGE])}") for at in range(0, len(keys), _PAGE)
            )
            for at in range(0, len(keys), _PAGE):
                client.delete(self._collection, ids=encoded[at : at + _PAGE], timeout=_TIMEOUT_S)
            return n

        return self._run(work, writes=True)

    def nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        """See ``Backend``."""
        expression = expression_of(condition, self.about.columns)

        def work(client: MilvusClient) -> list[Scored]:
            share = 1.0
            if condition is not None:
                n_left = self._n(client, expression)
                if not n_left:
                    return [[] for _ in vectors]
                share = n_left / max(self._n(client, ""), 1)
                if share < EXACT_SHARE and n_left <= _COMPARED:
                    return self._compared(client, vectors, k, expression)
            probes = _LISTS if share < EXACT_SHARE else min(_LISTS, round(_PROBES / share))
            results = client.search(
                self._collection,
                data=vectors.tolist(),
                limit=k,
                filter=expression,
                search_params={"metric_type": "IP", "params": {"nprobe": probes}},
                consistency_level=self._level,
                timeout=_TIMEOUT_S,
            )
            return [[(unquote(hit["key"]), float(hit["distance"])) for hit in one] for one in map(_hits, results)]

        return self._run(work)

    def by_words(self, words: Sequence[str], k: int, condition: Filter | None) -> Scored:
        """See ``Backend``; mean length over some thousand texts."""
        encoded = list(map(encoded_string, words))
        holds = f"array_contains_any(words, {json.dumps(encoded)})"
        both = holds if condition is None else f"{holds} and {expression_of(condition, self.about.columns)}"

        def work(client: MilvusClient) -> Scored:
            n = self._n(client, "h_text == true")
            sample = client.query(
                self._collection, filter="h_text == true", output_fields=["words"], limit=_MEAN_OVER, timeout=_TIMEOUT_S
            )
            mean = sum(len(row["words"]) for row in sample) / max(len(sample), 1)
            frequency = {
                word: self._n(client, f"array_contains_any(words, {json.dumps([one])})")
                for word, one in zip(words, encoded, strict=True)
            }
            rows = (
                (unquote(row["key"]), [unquote(word) for word in row["words"]])
                for row in self._pages(client, both, ["key", "words"])
            )
            return bm25(words, rows, frequency, n, mean)[:k]

        return self._run(work)

    def count(self, condition: Filter | None) -> int:
        """See ``Backend``."""
        return self._run(lambda client: self._n(client, expression_of(condition, self.about.columns)))

    def get(self, keys: Sequence[str]) -> dict[str, StoredRow]:
        """See ``Backend``."""
        kinds = list(self.about.columns.values())
        fields = ["key", "vector", "text", "h_text", *(f"{sign}{n}" for n in range(len(kinds)) for sign in "ch")]

        def work(client: MilvusClient) -> dict[str, StoredRow]:
            rows = []
            for at in range(0, len(keys), 1_000):
                listed = json.dumps([encoded_string(key) for key in keys[at : at + 1_000]])
                rows += client.query(
                    self._collection,
                    filter=f"key in {listed}",
                    output_fields=fields,
                    consistency_level=self._level,
                    timeout=_TIMEOUT_S,
                )
            return {unquote(row["key"]): _stored(row, kinds) for row in rows}

        return self._run(work)

    def persist(self) -> None:
        """Seal what was put and wait until it is searched by its index; it is in Milvus' log already.

        Until then Milvus looks at an eighth of rows that were put by the thousand (recall .72 of 30,000, .97 after).
        """
        self._run(lambda client: client.flush(self._collection, timeout=_RECOVERY_S), writes=True)
        end = time.monotonic() + _RECOVERY_S
        while not self._run(self._is_indexed) and time.monotonic() < end:
            time.sleep(0.2)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _run(self, work: Callable[[MilvusClient], Answer], *, writes: bool = False) -> Answer:
        """Run work; wait for a server that is coming back, and name one that is away. All work can be repeated."""
        with self._lock:
            end = time.monotonic() + _RECOVERY_S
            while True:
                try:
                    answer = work(self._connected())
                    self._level = "Strong" if writes else "Session"  # the first search after a put waits for it
                    return answer
                except MilvusException as error:
                    coming_back = any(word in str(error.message).lower() for word in _COMING_BACK)
                    if _is_away(error):
                        self.close()
                        raise StoreUnavailable(
                            f"Milvus at {self._place.rpartition('@')[2]} does not answer: {_short(error)}. Is it "
                            "running? It is tried again at the next call."
                        ) from error
                    if not coming_back or time.monotonic() > end:
                        raise InputError(f"Milvus refuses: {_short(error)}.") from error
                    time.sleep(0.5)

    def _connected(self) -> MilvusClient:
        if self._client is None:
            scheme, _, rest = self._place.rpartition("://")
            account, _, host = rest.rpartition("@")
            self._client = MilvusClient(uri=f"{scheme or 'http'}://{host}", token=account, timeout=_TIMEOUT_S / 3)
            self._level = "Strong"
        return self._client

    def _settings(self, client: MilvusClient, about: About | None) -> About:
        place = f"collection {self._collection} of Milvus"
        if client.has_collection(self._collection, timeout=_TIMEOUT_S):
            described = client.describe_collection(self._collection, timeout=_TIMEOUT_S)
            try:
                stored = About.from_json(json.loads(described["description"]), place)
            except ValueError as error:
                raise InputError(f"{place} is no vector store of ours. Choose another name.") from error
            client.load_collection(self._collection, timeout=_RECOVERY_S)
            return stored
        if about is None:
            raise InputError(f"there is no {place}; to make one, give the width of its vectors (dim).")
        client.create_collection(
            self._collection, schema=_schema(about), consistency_level="Session", timeout=_TIMEOUT_S
        )
        index = client.prepare_index_params()
        index.add_index("vector", index_type="IVF_FLAT", metric_type="IP", params={"nlist": _LISTS})
        client.create_index(self._collection, index, timeout=_TIMEOUT_S)
        client.load_collection(self._collection, timeout=_RECOVERY_S)
        return about

    def _entity(self, row: Row, vector: Vectors) -> dict[str, Any]:
        entity: dict[str, Any] = {"key": encoded_string(row.key), "vector": vector.tolist(), "text": row.text or ""}
        entity |= {"h_text": row.text is not None, "words": list(map(encoded_string, row.words))}
        for n, (kind, value) in enumerate(zip(self.about.columns.values(), row.values, strict=True)):
            entity[f"h{n}"] = value is not None
            entity[f"c{n}"] = _EMPTY[kind] if value is None else _kept(kind, value)
        return entity

    def _compared(self, client: MilvusClient, vectors: Vectors, k: int, expression: str) -> list[Scored]:
        """Exact search: fetch the rows that are left and compare all. Rows not yet indexed are searched coarsely."""
        rows = list(self._pages(client, expression, ["key", "vector"]))
        keys = [unquote(row["key"]) for row in rows]
        scores = vectors @ np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), -1).T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [(keys[row], float(score[row])) for row in best.tolist()] for best, score in zip(order, scores, strict=True)
        ]

    def _is_indexed(self, client: MilvusClient) -> bool:
        """True iff all rows lie in sealed segments whose index is loaded."""
        index = client.describe_index(self._collection, "vector", timeout=_TIMEOUT_S)
        segments = client.list_loaded_segments(self._collection, timeout=_TIMEOUT_S)
        sealed = sum(segment.num_rows for segment in segments if str(segment.state) == "Sealed")
        return not int(index["pending_index_rows"]) and sealed >= int(index["total_rows"])

    def _upsert(self, entities: list[dict[str, Any]], client: MilvusClient) -> None:
        client.upsert(self._collection, entities, timeout=_TIMEOUT_S)

    def _n(self, client: MilvusClient, expression: str) -> int:
        rows = client.query(
            self._collection,
            filter=expression,
            output_fields=["count(*)"],
            consistency_level=self._level,
            timeout=_TIMEOUT_S,
        )
        return int(rows[0]["count(*)"])

    def _pages(self, client: MilvusClient, expression: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        pages = client.query_iterator(
            self._collection,
            batch_size=_PAGE,
            filter=expression,
            output_fields=fields,
            consistency_level=self._level,
            timeout=_TIMEOUT_S,
        )
        while page := pages.next():
            yield from page
        pages.close()


def _schema(about: About) -> Any:
    schema = MilvusClient.create_schema(auto_id=False, description=json.dumps(about.as_json()))
    schema.add_field("key", DataType.VARCHAR, max_length=3 * MAX_ID_BYTES, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=about.dim)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("h_text", DataType.BOOL)
    strings = {"datatype": DataType.ARRAY, "element_type": DataType.VARCHAR}
    schema.add_field("words", **strings, max_capacity=MAX_INDEXED_WORDS, max_length=1_200)
    for n, kind in enumerate(about.columns.values()):
        schema.add_field(f"h{n}", DataType.BOOL)
        longest = {"max_length": 3 * MAX_STRING_BYTES}
        if kind == "tags":
            schema.add_field(f"c{n}", **strings, max_capacity=_MOST_TAGS, **longest)
        else:
            schema.add_field(f"c{n}", _TYPES[kind], **(longest if kind == "str" else {}))
    return schema


def _kept(kind: str, value: Any) -> Any:
    """Value of a column as Milvus holds it."""
    if kind == "tags":
        return list(map(encoded_string, value))
    return encoded_string(value) if kind == "str" else value


def _hits(result: Any) -> list[dict[str, Any]]:
    return [{"key": hit.get("key", hit.get("id")), "distance": hit["distance"]} for hit in result]


def _stored(row: dict[str, Any], kinds: Sequence[str]) -> StoredRow:
    values = [_read(kind, row[f"c{n}"]) if row[f"h{n}"] else None for n, kind in enumerate(kinds)]
    return StoredRow(values, row["text"] if row["h_text"] else None, np.array(row["vector"], np.float32))


def _read(kind: str, value: Any) -> Any:
    if kind == "tags":
        return [unquote(tag) for tag in value]
    return unquote(value) if kind == "str" else value


def _is_away(error: MilvusException) -> bool:
    """True where no server answered, not where one refused."""
    text = str(error).lower()
    return "fail connecting" in text or "unavailable" in text or "deadline" in text or "timed out" in text


def _short(error: MilvusException) -> str:
    return " ".join(str(error.message or error).split())[:300].rstrip(".")
