"""PostgreSQL with pgvector (https://github.com/pgvector/pgvector), through psycopg.

One table of rows with a ``vector`` column under an HNSW index, and one of its settings. Where a filter leaves little,
PostgreSQL is told to compare all that is left: the index loses a quarter of the nearest there, iterative scan or not.
"""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.stores.backend import About, Row, Scored, StoredRow, StoreUnavailable, Vectors
from recsys_bert.stores.bm25 import bm25
from recsys_bert.stores.columns import ID
from recsys_bert.stores.filters import Filter, Value
from recsys_bert.stores.row_index import EXACT_SHARE
from recsys_bert.stores.sql import compile_sql

try:
    import psycopg
    from psycopg import sql
    from psycopg.types.json import Jsonb
except ImportError as error:
    raise InputError("kind 'postgres' needs psycopg: pip install 'recsys-bert[postgres]'.") from error

_TYPES = {"int": "bigint", "float": "double precision", "bool": "boolean", "str": "text", "tags": "text[]"}
_TIMEOUT_S = 30
_MOST_INDEXED = 2_000  # widest vectors of an HNSW index; wider ones are compared one by one
_EF, _MOST_EF = 512, 1_000  # candidates that a search keeps; pgvector's limit
_EXACT_K = 500
_ABOUT = "recsys_bert_stores"

Answer = TypeVar("Answer")


class _PostgresDialect:
    """PostgreSQL's ways."""

    mark = "%s"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {ID: "id", **{name: f"c{n}" for n, name in enumerate(names)}}

    def column(self, name: str) -> str:
        return self._names[name]

    def one_of(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        numbers = any(isinstance(value, float) for value in values)
        parameters.append([float(value) for value in values] if numbers else list(values))
        return f"{column} = ANY(%s)"

    def any_tag(self, column: str, values: Sequence[Value], parameters: list[Any]) -> str:
        parameters.append(list(values))
        return f"{column} && %s::text[]"

    def constant(self, value: Value) -> Any:
        return value


class Postgres:
    """Rows in one table of a PostgreSQL database.

    Args:
        place: ``postgresql://user:password@host:port/database``, or another connection string of libpq.
        name: Name of the table.
        about: Settings of a store to make where there is none; None opens one that is there.

    Raises:
        InputError: There is no store and none is to be made, or the database has no pgvector.
        StoreUnavailable: The database does not answer.
    """

    def __init__(self, place: str, name: str, about: About | None) -> None:
        self._place, self._name, self._lock = place, name, threading.RLock()
        self._table = sql.Identifier(f"store_{name}")
        self._connection: psycopg.Connection[Any] | None = None
        try:
            self.about = self._run(lambda: self._settings(about))
        except InputError:
            self.close()
            raise
        self._dialect = _PostgresDialect(list(self.about.columns))

    def put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """See ``Backend``."""
        n = len(self.about.columns)
        names = ["id", "vector", "text", "words", *(f"c{i}" for i in range(n))]
        statement = sql.SQL(
            "INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}"
        ).format(
            table=self._table,
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
            marks=sql.SQL(", ").join([sql.SQL("%s"), sql.SQL("%s::vector"), *[sql.SQL("%s")] * (n + 2)]),
            changes=sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in names[1:]
            ),
        )
        values = [
            [row.key, _text(vector), row.text, row.words, *row.values]
            for row, vector in sorted(zip(rows, vectors, strict=True), key=lambda pair: pair[0].key)  # no deadlock
        ]
        self._run(lambda: self._execute_many(statement, values))

    def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend``."""
        statement = sql.SQL("DELETE FROM {} WHERE id = ANY(%s)").format(self._table)
        return self._run(lambda: self._execute(statement, [list(keys)]).rowcount)

    def nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        """See ``Backend``."""
        return self._run(lambda: self._nearest(vectors, k, condition))

    def by_words(self, words: Sequence[str], k: int, condition: Filter | None) -> Scored:
        """See ``Backend``; BM25 over the rows that hold any of the words, which a GIN index finds."""
        compiled = compile_sql(condition, self.about.columns, self._dialect)
        total = sql.SQL(
            "SELECT count(*), coalesce(avg(cardinality(words)), 1)::float8 FROM {} WHERE text IS NOT NULL"
        ).format(self._table)
        holds = sql.SQL(
            "SELECT word, count(*) FROM {}, unnest(%s::text[]) AS word WHERE words @> ARRAY[word] GROUP BY word"
        ).format(self._table)
        rows = sql.SQL("SELECT id, words FROM {} WHERE words && %s::text[] AND ").format(self._table)

        def search() -> Scored:
            n, mean = self._execute(total).fetchone() or (0, 1.0)
            frequency = dict.fromkeys(words, 0) | dict(self._execute(holds, [list(words)]).fetchall())
            parameters = [list(words), *compiled.parameters]
            matches = self._execute(rows + sql.SQL(compiled.sql), parameters).fetchall()
            return bm25(words, matches, frequency, n, mean)[:k]

        return self._run(search)

    def count(self, condition: Filter | None) -> int:
        """See ``Backend``."""
        return self._run(lambda: self._count(condition))

    def get(self, keys: Sequence[str]) -> dict[str, StoredRow]:
        """See ``Backend``."""
        columns = "".join(f", c{n}" for n in range(len(self.about.columns)))
        statement = sql.SQL("SELECT id, vector::text, text" + columns + " FROM {} WHERE id = ANY(%s)").format(
            self._table
        )
        rows = self._run(lambda: self._execute(statement, [list(keys)]).fetchall())
        return {
            key: StoredRow(values, text, np.array(json.loads(vector), np.float32))
            for key, vector, text, *values in rows
        }

    def persist(self) -> None:
        """Nothing: PostgreSQL keeps its own caches."""

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[], Answer]) -> Answer:
        """Run work in one transaction, once more where the connection was lost before it: all work can be repeated."""
        with self._lock:
            for attempt in (1, 2):
                fresh = self._connection is None
                try:
                    with self._connected().transaction():
                        return work()
                except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                    self.close()
                    if fresh or attempt == 2:
                        raise StoreUnavailable(
                            f"PostgreSQL does not answer: {_first_line(error)}. Is it running? It is tried again at "
                            "the next call."
                        ) from error
                except psycopg.Error as error:
                    raise InputError(f"PostgreSQL refuses: {_first_line(error)}.") from error
        raise AssertionError("unreachable")

    def _connected(self) -> "psycopg.Connection[Any]":
        if self._connection is None:
            self._connection = psycopg.connect(
                self._place, connect_timeout=_TIMEOUT_S, autocommit=True, options=f"-c statement_timeout={_TIMEOUT_S}s"
            )
        return self._connection

    def _execute(self, statement: Any, parameters: Sequence[Any] = ()) -> "psycopg.Cursor[Any]":
        return self._connected().execute(statement, parameters or None)

    def _execute_many(self, statement: Any, values: Sequence[Sequence[Any]]) -> None:
        with self._connected().cursor() as cursor:
            cursor.executemany(statement, values)

    def _settings(self, about: About | None) -> About:
        place = f"table store_{self._name} of PostgreSQL"
        if self._execute("SELECT to_regclass(%s)", [_ABOUT]).fetchone() != (None,):
            row = self._execute(f"SELECT about FROM {_ABOUT} WHERE name = %s", [self._name]).fetchone()
            if row is not None:
                return About.from_json(row[0], place)
        if about is None:
            raise InputError(f"there is no {place}; to make one, give the width of its vectors (dim).")
        self._make(about)
        return about

    def _make(self, about: About) -> None:
        if self._execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone() is None:
            raise InputError("this PostgreSQL has no pgvector: install the extension 'vector' on its server.")
        columns = "".join(f", c{n} {_TYPES[kind]}" for n, kind in enumerate(about.columns.values()))
        self._execute("SELECT pg_advisory_xact_lock(20261130)")  # CREATE … IF NOT EXISTS is no lock by itself
        self._execute("CREATE EXTENSION IF NOT EXISTS vector")
        self._execute(f"CREATE TABLE IF NOT EXISTS {_ABOUT} (name text PRIMARY KEY, about jsonb NOT NULL)")
        # "C": ids and strings are compared byte by byte, whatever the database's language is
        head = 'CREATE TABLE {} (id text COLLATE "C" PRIMARY KEY, vector vector({}) NOT NULL, text text, words text[]'
        self._execute(sql.SQL(head + columns + ")").format(self._table, sql.Literal(about.dim)))
        if about.dim <= _MOST_INDEXED:
            self._execute(sql.SQL("CREATE INDEX ON {} USING hnsw (vector vector_ip_ops)").format(self._table))
        self._execute(sql.SQL("CREATE INDEX ON {} USING gin (words)").format(self._table))
        insert = f"INSERT INTO {_ABOUT} VALUES (%s, %s)"
        self._execute(insert, [self._name, Jsonb(about.as_json())])

    def _count(self, condition: Filter | None) -> int:
        compiled = compile_sql(condition, self.about.columns, self._dialect)
        statement = sql.SQL("SELECT count(*) FROM {} WHERE " + compiled.sql).format(self._table)
        return int((self._execute(statement, compiled.parameters).fetchone() or (0,))[0])

    def _nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        share = 1.0
        if condition is not None:
            n_left, n = self._count(condition), self._count(None)
            if not n_left:
                return [[] for _ in vectors]
            share = n_left / max(n, 1)
        compiled = compile_sql(condition, self.about.columns, self._dialect)
        head = f"SELECT id, -(vector <#> %s::vector) FROM {{}} WHERE {compiled.sql} ORDER BY vector <#> %s::vector "
        statement = sql.SQL(head + "LIMIT %s").format(self._table)
        if share < EXACT_SHARE or k > _EXACT_K:
            self._execute("SET LOCAL enable_indexscan = off")  # HNSW is an index scan; others are bitmap scans
        else:
            effort = int(min(_MOST_EF, max(_EF, 2 * k) / share))
            self._execute(f"SET LOCAL hnsw.ef_search = {effort}")
            self._execute("SET LOCAL hnsw.iterative_scan = strict_order")
        results = []
        for text in map(_text, vectors):
            results.append(self._execute(statement, [text, *compiled.parameters, text, k]).fetchall())
        return results


def _text(vector: Vectors) -> str:
    """Vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
