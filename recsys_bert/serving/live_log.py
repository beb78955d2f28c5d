"""Events and items that came after the log: an SQLite file that survives a kill at any time, or memory."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError

_TABLES = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, item_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL, event_type TEXT);
CREATE INDEX IF NOT EXISTS events_of_user ON events (user_id, timestamp, number);
CREATE TABLE IF NOT EXISTS items (item_id TEXT PRIMARY KEY, text TEXT, columns TEXT NOT NULL, deleted INTEGER NOT NULL);
"""
_FORMAT = 1


class StateUnavailable(Exception):
    """The file of events and items cannot be read or written now; it is opened again at the next request."""


@dataclass(frozen=True)
class LiveEvent:
    """An event; ids as text."""

    user_id: str
    item_id: str
    timestamp: int
    event_type: str | None = None


@dataclass(frozen=True)
class LiveItem:
    """An item that was put, or the mark of a deleted one."""

    item_id: str
    text: str | None
    columns: dict[str, Any]
    deleted: bool = False


class LiveLog:
    """Events by user, and items; what ``add`` and ``put`` returned from is on the disk.

    Args:
        path: SQLite file (WAL); None keeps all in memory.

    Raises:
        InputError: It is no file of this kind.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self._lock = path, threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        try:
            with self._open():
                pass
        except StateUnavailable as error:
            raise InputError(f"{path} cannot be used for events and items: {error}. Name another --state.") from error

    @property
    def is_durable(self) -> bool:
        """True iff it survives the process."""
        return self.path is not None

    def add(self, events: Sequence[LiveEvent]) -> None:
        """Append events, all or none.

        Raises:
            StateUnavailable: They were not written.
        """
        rows = [(event.user_id, event.item_id, event.timestamp, event.event_type) for event in events]
        with self._open() as connection, connection:
            connection.executemany(
                "INSERT INTO events (user_id, item_id, timestamp, event_type) VALUES (?, ?, ?, ?)", rows
            )

    def events_of(self, user_id: str, last: int = 1000) -> list[LiveEvent]:
        """The last events of a user, oldest first.

        Raises:
            StateUnavailable: They cannot be read.
        """
        with self._open() as connection:
            rows = connection.execute(
                "SELECT user_id, item_id, timestamp, event_type FROM events WHERE user_id = ? "
                "ORDER BY timestamp DESC, number DESC LIMIT ?",
                (user_id, last),
            ).fetchall()
        return [LiveEvent(*row) for row in reversed(rows)]

    def put(self, items: Sequence[LiveItem]) -> None:
        """Write items over those of the same ids, all or none.

        Raises:
            StateUnavailable: They were not written.
        """
        rows = [(item.item_id, item.text, json.dumps(item.columns), item.deleted) for item in items]
        with self._open() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", rows)

    def items(self) -> list[LiveItem]:
        """All items, in the order in which they were put.

        Raises:
            StateUnavailable: They cannot be read.
        """
        with self._open() as connection:
            rows = connection.execute("SELECT item_id, text, columns, deleted FROM items ORDER BY rowid").fetchall()
        return [LiveItem(item, text, json.loads(columns), bool(deleted)) for item, text, columns, deleted in rows]

    def counts(self) -> dict[str, int]:
        """Numbers of events and of items."""
        with self._open() as connection:
            return {
                name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("events", "items")
            }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._forget()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; opened anew where the file was lost or exchanged."""
        with self._lock:
            try:
                if self._connection is not None and self._inode != self._identity():
                    self._forget()
                if self._connection is None:
                    self._connect()
                assert self._connection is not None
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                self._forget()
                raise StateUnavailable(str(error)) from error

    def _connect(self) -> None:
        target = ":memory:" if self.path is None else str(self.path)
        self._connection = connection = sqlite3.connect(target, check_same_thread=False, timeout=2.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged event survives a power cut
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"its format is {version}, not {_FORMAT}")
        connection.executescript(_TABLES)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        connection.commit()
        self._inode = self._identity()

    def _identity(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return (-1, time.monotonic_ns())  # equal to nothing
        return (stat.st_dev, stat.st_ino)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._inode = None
