"""Store of vectors with ids, columns and texts: one interface over every storage system in ``STORES``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from recsys_bert.errors import InputError
from recsys_bert.stores.backend import About, Backend, Row, Scored, Vectors
from recsys_bert.stores.columns import check_texts, check_values, checked_filter, id_keys
from recsys_bert.stores.rank_fusion import RANK_CONSTANT, fuse_ranks
from recsys_bert.stores.words import index_words, query_words

MAX_K = 10_000
"""Most rows that a search returns, in every store; Elasticsearch's limit."""


class Match(NamedTuple):
    """One row of a result."""

    id: Any
    score: float
    """Inner product or cosine; BM25 of words; sum of reciprocal ranks of a hybrid search. Higher is better."""


class Item(NamedTuple):
    """One stored row."""

    id: Any
    columns: dict[str, Any]
    """Values by column; missing ones are None."""

    text: str | None
    vector: Vectors


class VectorStore:
    """Vectors with ids, columns and texts, searchable by vector, words or both, under filters.

    Every argument is checked here, so that all storage systems accept and refuse the same; open one with
    ``open_store``. May be used from several threads. Filters are text as ``price < 20 and brand in ("a", "b")``, the
    JSON form of ``filter_json``, or None.
    """

    def __init__(self, backend: Backend, kind: str, place: str) -> None:
        self._backend, self.kind, self.place = backend, kind, place

    @property
    def about(self) -> About:
        """Width, metric, type of the ids, columns and source."""
        return self._backend.about

    def put(
        self,
        ids: Sequence[Any],
        vectors: Any,
        columns: Any = None,
        texts: Sequence[str | None] | None = None,
    ) -> int:
        """Add rows; a row whose id is there already is replaced whole. When it returns, they survive a kill -9.

        Args:
            ids: Ids, distinct.
            vectors: float ``[n, dim]``.
            columns: Values by column: a dict of lists or a frame; or a list of one dict a row. Missing ones are None.
            texts: Text of each row, for search by words.

        Returns:
            Number of rows.

        Raises:
            InputError: Wrong lengths, width or types, numbers that are not finite, ids twice.
            StoreUnavailable: The database does not answer.
        """
        matrix = self._matrix(vectors)
        keys, rows = id_keys(list(ids), self.about.ids), _rows_of(columns, len(matrix))
        listed = [None] * len(matrix) if texts is None else list(texts)
        for name, length in (("ids", len(keys)), ("rows of columns", len(rows)), ("texts", len(listed))):
            if length != len(matrix):
                raise InputError(f"{len(matrix)} vectors and {length} {name} are given; there is one of each a row.")
        if len(set(keys)) < len(keys):
            twice = [key for key, n in Counter(keys).items() if n > 1]
            raise InputError(f"{len(twice)} ids are given more than once, the first is {twice[0][:50]!r}.")
        check_texts(listed)
        values = check_values(self.about.columns, rows)
        if keys:
            self._backend.put(
                [
                    Row(key, row, text, [] if text is None else index_words(text))
                    for key, row, text in zip(keys, values, listed, strict=True)
                ],
                matrix,
            )
        return len(keys)

    def delete(self, ids: Sequence[Any]) -> int:
        """Remove rows; ids that are not there are no error.

        Returns:
            Number of rows that were there.
        """
        keys = list(dict.fromkeys(id_keys(list(ids), self.about.ids)))
        return self._backend.delete(keys) if keys else 0

    def search(self, vectors: Any, k: int = 10, filter: Any = None) -> list[list[Match]]:
        """Rows nearest to each vector, best first; fewer than k only where fewer are left.

        Exact where the filter leaves less than a tenth of the rows; otherwise most of the nearest.

        Args:
            vectors: float ``[n, dim]``.
            k: Rows for each, up to ``MAX_K``.
            filter: Rows that may be returned.

        Raises:
            InputError: Another width, numbers that are not finite, k out of range, or a bad filter.
            StoreUnavailable: The database does not answer.
        """
        matrix, condition = self._matrix(vectors), self._filter(filter)
        _check_k(k)
        return [self._matches(one) for one in self._backend.nearest(matrix, k, condition)] if len(matrix) else []

    def search_text(self, queries: Sequence[str], k: int = 10, filter: Any = None) -> list[list[Match]]:
        """Rows whose texts hold words of each query, by BM25.

        Args:
            queries: Texts; any of their words may match, and rare words count more.
            k: Rows for each, up to ``MAX_K``.
            filter: Rows that may be returned.

        Raises:
            InputError: Queries that are no strings, k out of range, or a bad filter.
            StoreUnavailable: The database does not answer.
        """
        if isinstance(queries, str):
            raise InputError("queries is one string; give a list of them.")
        check_texts(queries)
        _check_k(k)
        condition, lists = self._filter(filter), []
        for query in queries:
            words = query_words(query)
            lists.append(self._matches(self._backend.by_words(words, k, condition)) if words else [])
        return lists

    def hybrid(
        self,
        vectors: Any,
        queries: Sequence[str],
        k: int = 10,
        filter: Any = None,
        *,
        weights: tuple[float, float] = (1.0, 1.0),
        constant: float = RANK_CONSTANT,
    ) -> list[list[Match]]:
        """Search by vector and by words, merged by reciprocal rank fusion.

        Args:
            vectors: float ``[n, dim]``.
            queries: Texts ``[n]``.
            k: Rows for each, up to ``MAX_K``.
            filter: Rows that may be returned.
            weights: Weight of the ranks by vector and by words.
            constant: Constant of the fusion, above 0.

        Raises:
            InputError: See ``search`` and ``search_text``; or weights that are negative, not finite or all 0.
        """
        if len(weights) != 2 or not all(np.isfinite(one) and one >= 0 for one in weights) or not any(weights):
            raise InputError(f"weights are {weights}; two numbers of 0 or more are needed, and not both 0.")
        if not (np.isfinite(constant) and constant > 0):
            raise InputError(f"constant is {constant}; it must be above 0.")
        _check_k(k)
        depth = min(MAX_K, max(5 * k, 100))
        near, worded = self.search(vectors, depth, filter), self.search_text(queries, depth, filter)
        if len(near) != len(worded):
            raise InputError(f"{len(near)} vectors and {len(worded)} queries are given; there is one of each a search.")
        return [
            [Match(*pair) for pair in fuse_ranks([[m.id for m in a], [m.id for m in b]], weights, constant)[:k]]
            for a, b in zip(near, worded, strict=True)
        ]

    def count(self, filter: Any = None) -> int:
        """Number of rows, of those that satisfy a filter."""
        return self._backend.count(self._filter(filter))

    def get(self, ids: Sequence[Any]) -> list[Item | None]:
        """Rows by id, in that order; None for those that are not there."""
        keys = id_keys(list(ids), self.about.ids)
        stored = self._backend.get(list(dict.fromkeys(keys))) if keys else {}
        return [
            None
            if (row := stored.get(key)) is None
            else Item(self._id(key), dict(zip(self.about.columns, row.values, strict=True)), row.text, row.vector)
            for key in keys
        ]

    def persist(self) -> None:
        """Write caches, so that the next opening is fast; rows are stored already."""
        self._backend.persist()

    def close(self) -> None:
        """Persist and free the store."""
        self._backend.close()

    def __len__(self) -> int:
        return self.count()

    def __enter__(self) -> "VectorStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"VectorStore({self.kind}, {self.place}, dim {self.about.dim}, {self.about.metric})"

    def _id(self, key: str) -> Any:
        return int(key) if self.about.ids == "int" else key

    def _matches(self, scored: Scored) -> list[Match]:
        return [Match(self._id(key), float(score)) for key, score in scored]

    def _filter(self, source: Any) -> Any:
        return checked_filter(source, self.about.columns, self.about.ids)

    def _matrix(self, vectors: Any) -> Vectors:
        """Check and convert to float32 ``[n, dim]``; for cosine at unit length (a vector of zeros stays one)."""
        matrix = np.asarray(vectors)
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
            raise InputError(f"vectors are {matrix.dtype} {list(matrix.shape)}; they must be numbers [n, dim].")
        if matrix.shape[1] != self.about.dim:
            raise InputError(f"vectors have {matrix.shape[1]} numbers; those of {self.place} have {self.about.dim}.")
        with np.errstate(over="ignore"):
            matrix = matrix.astype(np.float32)
        if (bad := int((~np.isfinite(matrix)).any(1).sum())) > 0:
            raise InputError(f"{bad} of {len(matrix)} vectors hold NaN or infinite numbers.")
        if self.about.metric == "cosine":
            lengths = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
            matrix = (matrix / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return np.ascontiguousarray(matrix)


def _check_k(k: Any) -> None:
    if isinstance(k, bool) or not hasattr(k, "__index__") or not 1 <= int(k) <= MAX_K:
        raise InputError(f"k is {k}; it must be between 1 and {MAX_K:,}.")


def _rows_of(columns: Any, n: int) -> Sequence[Mapping[str, Any]]:
    """One mapping a row from a frame, a dict of lists, a list of dicts, or None."""
    if columns is None:
        return [{}] * n
    if isinstance(columns, list | tuple) and all(isinstance(row, Mapping) for row in columns):
        return list(columns)
    if isinstance(columns, pl.DataFrame) or hasattr(columns, "__arrow_c_stream__"):
        return pl.DataFrame(columns).to_dicts()
    if not isinstance(columns, Mapping):
        raise InputError(
            f"columns is a {type(columns).__name__}; needed is a frame, a dict of lists or a list of dicts."
        )
    lists = {name: values.tolist() if hasattr(values, "tolist") else list(values) for name, values in columns.items()}
    if any(len(values) != n for values in lists.values()):
        name, values = next((name, values) for name, values in lists.items() if len(values) != n)
        raise InputError(f"column {name!r} has {len(values)} values for {n} vectors; there is one of each a row.")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)] if lists else [{}] * n
