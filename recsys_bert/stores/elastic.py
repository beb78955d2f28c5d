"""Elasticsearch (https://www.elastic.co) through its client: ``bulk``, ``knn`` and ``match``; servers from 8.12 on.

One index of rows. Its test runs where ``ELASTIC_URL`` names a server; it was written without one. The server filters
while it walks its graph; where a filter leaves little, all of what is left is compared by a script, which is exact.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.stores.backend import About, Row, Scored, StoredRow, StoreUnavailable, Vectors
from recsys_bert.stores.columns import ID
from recsys_bert.stores.filters import FLIPPED, And, Compare, Filter, In, Missing, Or
from recsys_bert.stores.row_index import EXACT_SHARE

try:
    import elasticsearch
    from elasticsearch import Elasticsearch
except ImportError as error:
    raise InputError("kind 'elastic' needs elasticsearch: pip install 'recsys-bert[elastic]'.") from error

_TYPES = {"int": "long", "float": "double", "bool": "boolean", "str": "keyword", "tags": "keyword"}
_RANGES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_TIMEOUT_S = 30
_CANDIDATES, _MOST_CANDIDATES = 200, 10_000
_CHUNK = 500  # rows of one bulk request

Answer = TypeVar("Answer")


class Elastic:
    """Rows in one index of an Elasticsearch cluster.

    Args:
        place: ``http://host:9200``, with ``user:password@`` where the server wants them.
        name: Name of the index.
        about: Settings of a store to make where there is none; None opens one that is there.

    Raises:
        InputError: There is no store and none is to be made, or it is another's.
        StoreUnavailable: The server does not answer.
    """

    def __init__(self, place: str, name: str, about: About | None) -> None:
        self._place, self._index, self._lock = place, f"store_{name.lower()}", threading.RLock()
        scheme, _, rest = place.rpartition("://")
        account, _, host = rest.rpartition("@")
        user, _, password = account.partition(":")
        try:
            self._client = Elasticsearch(
                f"{scheme or 'http'}://{host}",
                basic_auth=(user, password) if account else None,
                request_timeout=_TIMEOUT_S,
                max_retries=0,
            )
        except ValueError as error:
            raise InputError(f"{host!r} is no address of Elasticsearch, as http://host:9200: {error}.") from error
        try:
            self.about = self._run(lambda: self._settings(about))
        except InputError:
            self.close()
            raise

    def put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """See ``Backend``."""
        for at in range(0, len(rows), _CHUNK):
            operations: list[dict[str, Any]] = []
            for row, vector in zip(rows[at : at + _CHUNK], vectors[at : at + _CHUNK], strict=True):
                operations += [{"index": {"_id": row.key}}, self._document(row, vector)]
            self._bulk(operations)

    def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend``."""
        results = []
        for at in range(0, len(keys), _CHUNK):
            results += self._bulk([{"delete": {"_id": key}} for key in keys[at : at + _CHUNK]])
        return sum(one["delete"]["result"] == "deleted" for one in results)

    def nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        """See ``Backend``."""
        share = self.count(condition) / max(self.count(None), 1) if condition is not None else 1.0
        if not share:
            return [[] for _ in vectors]
        exact, query = share < EXACT_SHARE, _query(condition, self.about)
        results = []
        for vector in vectors:
            if exact or not np.any(vector):
                results.append(self._scripted(vector, k, query))
                continue
            knn = {
                "field": "vector",
                "query_vector": vector.tolist(),
                "k": k,
                "num_candidates": int(min(_MOST_CANDIDATES, max(_CANDIDATES, 2 * k))),
                "filter": query,
            }
            hits = self._search(knn=knn, size=k)
            results.append([(key, _inner_product(score)) for key, score in hits])
        return results

    def by_words(self, words: Sequence[str], k: int, condition: Filter | None) -> Scored:
        """See ``Backend``; Lucene's BM25 (k1 1.2, b .75)."""
        match = {"match": {"words": {"query": " ".join(words), "operator": "or"}}}
        return self._search(query={"bool": {"must": match, "filter": _query(condition, self.about)}}, size=k)

    def count(self, condition: Filter | None) -> int:
        """See ``Backend``."""
        query = _query(condition, self.about)
        return int(self._run(lambda: self._client.count(index=self._index, query=query))["count"])

    def get(self, keys: Sequence[str]) -> dict[str, StoredRow]:
        """See ``Backend``."""
        rows = {}
        for at in range(0, len(keys), _CHUNK):
            part = list(keys[at : at + _CHUNK])
            answer = self._run(lambda part=part: self._client.mget(index=self._index, ids=part))  # type: ignore[misc]
            for one in answer["docs"]:
                if one.get("found"):
                    source = one["_source"]
                    values = [source.get(f"c{n}") for n in range(len(self.about.columns))]
                    rows[one["_id"]] = StoredRow(values, source.get("text"), np.array(source["numbers"], np.float32))
        return rows

    def persist(self) -> None:
        """Nothing: Elasticsearch has every acknowledged row in its log."""

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _run(self, work: Callable[[], Answer]) -> Answer:
        with self._lock:
            try:
                return work()
            except (elasticsearch.ConnectionError, elasticsearch.ConnectionTimeout) as error:
                raise StoreUnavailable(
                    f"Elasticsearch at {self._place.rpartition('@')[2]} does not answer: {str(error)[:200]}. Is it "
                    "running? It is tried again at the next call."
                ) from error
            except elasticsearch.ApiError as error:
                if error.status_code in (429, 502, 503, 504):
                    raise StoreUnavailable(
                        f"Elasticsearch does not answer: it is overloaded or starting ({error.status_code}). Try again."
                    ) from error
                raise InputError(f"Elasticsearch refuses: {str(error)[:300]}.") from error

    def _settings(self, about: About | None) -> About:
        place = f"index {self._index} of Elasticsearch"
        if self._client.indices.exists(index=self._index):
            mapping = self._client.indices.get_mapping(index=self._index)[self._index]["mappings"]
            return About.from_json(mapping.get("_meta", {}).get("about"), place)
        if about is None:
            raise InputError(f"there is no {place}; to make one, give the width of its vectors (dim).")
        properties: dict[str, Any] = {
            # a vector of zeros has no place in the graph, so the numbers are kept beside it
            "vector": {"type": "dense_vector", "dims": about.dim, "index": True, "similarity": "max_inner_product"},
            "numbers": {"type": "float", "index": False, "doc_values": False},
            "key": {"type": "keyword"},
            "text": {"type": "text", "index": False},
            "words": {"type": "text", "analyzer": "whitespace"},
        }
        for n, kind in enumerate(about.columns.values()):
            properties[f"c{n}"] = {"type": _TYPES[kind]}
        self._client.indices.create(
            index=self._index,
            mappings={"dynamic": False, "_meta": {"about": about.as_json()}, "properties": properties},
            wait_for_active_shards="1",
        )
        return about

    def _document(self, row: Row, vector: Vectors) -> dict[str, Any]:
        document: dict[str, Any] = {"key": row.key, "numbers": vector.tolist(), "vector": vector.tolist()}
        if row.text is not None:
            document |= {"text": row.text, "words": " ".join(row.words)}
        return document | {f"c{n}": value for n, value in enumerate(row.values) if value is not None}

    def _bulk(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = self._run(lambda: self._client.bulk(index=self._index, operations=operations, refresh="wait_for"))
        items: list[dict[str, Any]] = answer["items"]
        errors = [one[name]["error"] for one in items for name in one if "error" in one[name]]
        if errors:
            reason = str(errors[0].get("reason", errors[0]))[:200]
            raise InputError(f"Elasticsearch refused {len(errors)} of {len(items)} rows; the first: {reason}.")
        return items

    def _search(self, **body: Any) -> Scored:
        answer = self._run(lambda: self._client.search(index=self._index, source=False, **body))
        return [(hit["_id"], float(hit["_score"])) for hit in answer["hits"]["hits"]]

    def _scripted(self, vector: Vectors, k: int, query: dict[str, Any]) -> Scored:
        """Compare all rows that satisfy a query."""
        script = {  # scores may not be negative: Elasticsearch's own transformation of an inner product
            "source": "double p = dotProduct(params.v, 'vector'); return p < 0 ? 1 / (1 - p) : p + 1",
            "params": {"v": vector.tolist()},
        }
        hits = self._search(query={"script_score": {"query": query, "script": script}}, size=k)
        return [(key, _inner_product(score)) for key, score in hits]


def _inner_product(score: float) -> float:
    """Inner product behind a score of ``max_inner_product``."""
    return score - 1 if score >= 1 else 1 - 1 / max(score, 1e-30)


def _query(tree: Filter | None, about: About) -> dict[str, Any]:
    """A filter in Elasticsearch's query language; columns are named by number, constants are values of JSON."""
    if tree is None:
        return {"match_all": {}}
    if isinstance(tree, And | Or):
        parts = [_query(part, about) for part in tree.parts]
        return {"bool": {"filter": parts}} if isinstance(tree, And) else {"bool": {"should": parts}}
    if isinstance(tree, Compare | In | Missing):
        return _leaf(tree, about)
    return {"bool": {"must_not": _query(tree.part, about)}}


def _leaf(leaf: Compare | In | Missing, about: About) -> dict[str, Any]:
    is_id = leaf.column == ID
    column = "key" if is_id else f"c{list(about.columns).index(leaf.column)}"
    there = {"exists": {"field": column}}
    if isinstance(leaf, Missing):
        return {"bool": {"must_not": there}}
    if isinstance(leaf, In):
        return {"terms": {column: [str(value) if is_id else value for value in leaf.values]}}
    value = str(leaf.value) if is_id else leaf.value
    if leaf.op in _RANGES:
        return {"range": {column: {_RANGES[leaf.op]: value}}}
    term = {"term": {column: value}}
    assert leaf.op in FLIPPED
    return term if leaf.op == "==" else {"bool": {"filter": there, "must_not": term}}
