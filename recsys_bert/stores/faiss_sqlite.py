"""Embedded store: SQLite holds ids, columns, texts, words and vectors; a FAISS index beside it is a cache.

A folder with ``rows.sqlite`` and ``index/``. SQLite writes ahead and brings every acknowledged put to the disk; the
index catches up with it when the store is opened and before each search, with what other processes put as well.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.stores.backend import About, Row, Scored, StoredRow, StoreUnavailable, Vectors
from recsys_bert.stores.filters import Filter
from recsys_bert.stores.row_index import Mask, RowIndex
from recsys_bert.stores.sql import Condition, compile_sql
from recsys_bert.stores.sqlite_values import SqliteDialect, explained, loaded_value, parsed, stored_value, vector_of

_FILE, _CACHE = "rows.sqlite", "index"
_CHUNK = 10_000  # rows read at once when catching up
_UNSAVED = 10_000  # new rows after which the cache is written, or a tenth of all
_TRIM = 100_000  # removals that are remembered for other processes
_CACHED_FILTERS = 32

Answer = TypeVar("Answer")


class FaissSqlite:
    """Rows in SQLite, vectors searched by FAISS; nothing to start.

    Args:
        place: Folder.
        name: Not used: a folder holds one store.
        about: Settings of a store to make where there is none; None opens one that is there.

    Raises:
        InputError: There is no store and none is to be made, or it is damaged or cannot be written.
    """

    def __init__(self, place: str, name: str, about: About | None) -> None:
        self._folder, self._lock = Path(place), threading.RLock()
        self._file = self._folder / _FILE
        if about is None and not self._file.is_file():
            raise InputError(f"there is no store at {self._folder}; to make one, give the width of its vectors (dim).")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {self._folder}: {error.strerror}. Choose another folder.") from error
        self._connect()
        try:
            self.about = self._guarded(lambda: self._settings(about))
        except InputError:
            self._connection.close()
            raise
        self._dialect = SqliteDialect(list(self.about.columns))
        self._index = RowIndex.load(self._folder / _CACHE, self.about.dim) or RowIndex(self.about.dim)
        self._saved = len(self._index.rows)
        self._masks: dict[str, Mask] = {}
        self._seen_version: int | None = None
        self._guarded(self._catch_up)

    def put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """See ``Backend``."""
        self._guarded(lambda: self._put(rows, vectors))

    def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend``."""
        return self._guarded(lambda: self._written(lambda: self._remove(keys)))

    def nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        """See ``Backend``."""
        return self._guarded(lambda: self._nearest(vectors, k, condition))

    def by_words(self, words: Sequence[str], k: int, condition: Filter | None) -> Scored:
        """See ``Backend``; FTS5's BM25 (k1 1.2, b .75)."""
        compiled = compile_sql(condition, self.about.columns, self._dialect)
        query = " OR ".join(f'"{word}"' for word in words)  # words hold letters, digits and marks only
        sql = (
            "SELECT items.id, -bm25(words) FROM words JOIN items ON items.row = words.rowid "
            f"WHERE words MATCH ? AND {compiled.sql} ORDER BY bm25(words), words.rowid LIMIT ?"
        )
        return self._guarded(lambda: self._connection.execute(sql, [query, *compiled.parameters, k]).fetchall())

    def count(self, condition: Filter | None) -> int:
        """See ``Backend``."""
        compiled = compile_sql(condition, self.about.columns, self._dialect)
        sql = f"SELECT COUNT(*) FROM items WHERE {compiled.sql}"
        return int(self._guarded(lambda: self._connection.execute(sql, compiled.parameters).fetchone()[0]))

    def get(self, keys: Sequence[str]) -> dict[str, StoredRow]:
        """See ``Backend``."""
        kinds = list(self.about.columns.values())
        columns = "".join(f", items.c{n}" for n in range(len(kinds)))
        sql = (
            f"SELECT items.id, vector, text{columns} FROM items JOIN vectors USING (row) LEFT JOIN texts USING (row) "
            "WHERE items.id IN (SELECT value FROM json_each(?))"
        )
        rows = self._guarded(lambda: self._connection.execute(sql, [json.dumps(list(keys))]).fetchall())
        return {
            key: StoredRow([loaded_value(*pair) for pair in zip(values, kinds, strict=True)], text, vector_of(blob))
            for key, blob, text, *values in rows
        }

    def persist(self) -> None:
        """Write the FAISS index."""
        self._guarded(self._save)

    def close(self) -> None:
        """Write the index where much of it is new, and close the file."""
        with self._lock:
            with suppress(StoreUnavailable):
                self._guarded(self._catch_up)
                if len(self._index.rows) != self._saved:
                    self._guarded(self._save)
            self._connection.close()

    def _connect(self) -> None:
        try:
            self._connection = sqlite3.connect(self._file, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # an acknowledged put survives a power cut
        except sqlite3.Error as error:
            if hasattr(self, "_connection"):
                self._connection.close()
            raise explained(error, self._folder) from error
        self._inode = self._file.stat().st_ino
        self._seen_version = None

    def _guarded(self, work: Callable[[], Answer]) -> Answer:
        """Run one piece of work alone; name what is wrong with the database."""
        with self._lock:
            try:
                if self._file.stat().st_ino != self._inode:  # another store lies there now
                    raise StoreUnavailable(f"{self._file} was replaced while it was open. Open the store again.")
            except FileNotFoundError:
                raise StoreUnavailable(f"{self._file} is gone. Put it back, or open another store.") from None
            try:
                return work()
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise explained(error, self._folder) from error

    def _written(self, work: Callable[[], Answer]) -> Answer:
        """Run work in one transaction; it is on the disk when this returns."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            answer = work()
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._seen_version = None
        return answer

    def _settings(self, about: About | None) -> About:
        def read() -> About | None:
            self._connection.execute("CREATE TABLE IF NOT EXISTS about (value TEXT NOT NULL)")
            row = self._connection.execute("SELECT value FROM about").fetchone()
            if row is not None:
                return About.from_json(parsed(row[0]), str(self._folder))
            if about is None:
                raise InputError(f"{self._file} holds no store; to make one, give the width of its vectors (dim).")
            columns = "".join(f", c{n}" for n in range(len(about.columns)))
            for statement in (
                f"CREATE TABLE items (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE{columns})",
                "CREATE TABLE vectors (row INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
                "CREATE TABLE texts (row INTEGER PRIMARY KEY, text TEXT NOT NULL)",
                "CREATE VIRTUAL TABLE words USING fts5 (word, tokenize = 'ascii')",
                "CREATE TABLE removed (seq INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL)",
            ):
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO about VALUES (?)", [json.dumps(about.as_json())])
            return about

        settings = self._written(read)
        assert settings is not None
        return settings

    def _put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        marks = ", ".join("?" * (2 + len(self.about.columns)))

        def write() -> None:
            self._remove([row.key for row in rows])
            last = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
            numbers = range((last[0] if last else 0) + 1, (last[0] if last else 0) + 1 + len(rows))
            numbered = list(zip(numbers, rows, strict=True))
            many = self._connection.executemany
            many(f"INSERT INTO items VALUES ({marks})", ([n, r.key, *map(stored_value, r.values)] for n, r in numbered))
            many("INSERT INTO vectors VALUES (?, ?)", ((n, v.tobytes()) for n, v in zip(numbers, vectors, strict=True)))
            with_text = [(n, row) for n, row in numbered if row.text is not None]
            many("INSERT INTO texts VALUES (?, ?)", ((n, row.text) for n, row in with_text))
            many("INSERT INTO words (rowid, word) VALUES (?, ?)", ((n, " ".join(row.words)) for n, row in with_text))

        self._written(write)

    def _remove(self, keys: Sequence[str]) -> int:
        listed = json.dumps(list(keys))
        sql = "SELECT row FROM items WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._connection.execute(sql, [listed]).fetchall()
        for table, column in (("items", "row"), ("vectors", "row"), ("texts", "row"), ("words", "rowid")):
            self._connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", rows)
        self._connection.executemany("INSERT INTO removed (row) VALUES (?)", rows)
        return len(rows)

    def _nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        self._catch_up()
        allowed = None
        if condition is not None:
            allowed = self._allowed(compile_sql(condition, self.about.columns, self._dialect))
        results = self._index.search(vectors, k, allowed)
        rows = sorted({int(row) for matches, _ in results for row in matches})
        sql = "SELECT row, id FROM items WHERE row IN (SELECT value FROM json_each(?))"
        keys = dict(self._connection.execute(sql, [json.dumps(rows)]).fetchall())
        return [
            [(keys[row], score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row in keys]
            for rows, scores in results
        ]

    def _allowed(self, condition: Condition) -> Mask:
        """Positions of the rows that satisfy a condition, remembered until a row changes."""
        key = json.dumps([condition.sql, condition.parameters])
        if key not in self._masks:
            cursor = self._connection.execute(f"SELECT row FROM items WHERE {condition.sql}", condition.parameters)
            rows = np.fromiter((row for (row,) in cursor), np.int64)
            while len(self._masks) >= _CACHED_FILTERS:
                self._masks.pop(next(iter(self._masks)))
            self._masks[key] = self._index.mask(rows)
        return self._masks[key]

    def _catch_up(self) -> None:
        """Bring the index to the rows of the database, where it changed."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen_version:
            return
        self._connection.execute("BEGIN")  # one state of all tables
        try:
            self._masks.clear()
            self._mask_removed()
            if len(self._index.rows) > 1_000 and self._index.n_alive < len(self._index.rows) / 2:
                self._index, self._saved = RowIndex(self.about.dim, removed_seq=self._index.removed_seq), 0
            self._add_new()
        finally:
            self._connection.execute("COMMIT")
        self._seen_version = version
        if len(self._index.rows) - self._saved > max(_UNSAVED, len(self._index.rows) / 10):
            self._save()

    def _mask_removed(self) -> None:
        seq = self._index.removed_seq
        first, last = self._connection.execute("SELECT MIN(seq), MAX(seq) FROM removed").fetchone()
        remembered = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'removed'").fetchone()
        last = remembered[0] if remembered else last or 0
        if last == seq:
            return
        if first is None or first > seq + 1:  # removals before it are forgotten
            rows = self._connection.execute("SELECT row FROM items").fetchall()
            self._index.alive &= self._index.mask(np.array(rows, np.int64).reshape(-1))
        else:
            rows = self._connection.execute("SELECT row FROM removed WHERE seq > ?", [seq]).fetchall()
            self._index.remove(np.array(rows, np.int64).reshape(-1))
        self._index.removed_seq = last

    def _add_new(self) -> None:
        sql = "SELECT row, vector FROM vectors WHERE row > ? ORDER BY row"
        cursor = self._connection.execute(sql, [self._index.last_row])
        while rows := cursor.fetchmany(_CHUNK):
            vectors = np.frombuffer(b"".join(blob for _, blob in rows), np.float32).reshape(len(rows), -1)
            self._index.add(np.array([row for row, _ in rows], np.int64), vectors)

    def _save(self) -> None:
        self._index.save(self._folder / _CACHE)
        self._saved = len(self._index.rows)
        if self._connection.execute("SELECT COUNT(*) FROM removed").fetchone()[0] > _TRIM:
            forget = "DELETE FROM removed WHERE seq <= ?"
            self._written(lambda: self._connection.execute(forget, [self._index.removed_seq]))
