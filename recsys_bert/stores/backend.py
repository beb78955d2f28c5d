"""Protocol of a storage backend: rows that ``VectorStore`` has checked go in, keys and scores come out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.stores.columns import Columns, IdType, check_columns
from recsys_bert.stores.filters import Filter

_KIND, _VERSION = "recsys_bert vector store", 1

Metric = Literal["ip", "cosine"]
Vectors = NDArray[np.float32]
Scored = list[tuple[str, float]]
"""Keys with scores, best first."""


class StoreUnavailable(InputError):
    """The database does not answer. Later calls try again: it may have come back."""


@dataclass(frozen=True)
class About:
    """Settings of a store, fixed when it is made."""

    dim: int
    """Width of a vector."""

    metric: Metric = "ip"
    """ip (inner product), or cosine: vectors are brought to length 1."""

    ids: IdType = "str"
    """Type of the ids."""

    columns: Columns = field(default_factory=dict)
    """Type of each column."""

    source: dict[str, str] = field(default_factory=dict)
    """Origin of the vectors, as names and fingerprints."""

    def as_json(self) -> dict[str, Any]:
        """As backends keep it."""
        return {"kind": _KIND, "version": _VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any, place: str) -> "About":
        """Read what ``as_json`` gave.

        Raises:
            InputError: It is something else, or of another version.
        """
        if not isinstance(value, dict) or (value.get("kind"), value.get("version")) != (_KIND, _VERSION):
            raise InputError(
                f"{place} is no vector store of version {_VERSION}. Make it again, or choose another place."
            )
        try:
            columns = check_columns(value["columns"])
            return cls(value["dim"], value["metric"], value["ids"], columns, value["source"])
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{place} is damaged: its settings lack {error}. Make it again.") from error


@dataclass(frozen=True)
class Row:
    """One row to store."""

    key: str
    """Its id as a string."""

    values: list[Any]
    """Values in the order of the columns, None where missing."""

    text: str | None
    words: list[str]
    """Words of the text, for search."""


@dataclass(frozen=True)
class StoredRow:
    """One row as it is stored."""

    values: list[Any]
    text: str | None
    vector: Vectors


class Backend(Protocol):
    """One storage system. Methods raise ``StoreUnavailable`` where it does not answer."""

    about: About

    def put(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Add rows, or replace those of the same keys; when it returns they survive the end of any process."""

    def delete(self, keys: Sequence[str]) -> int:
        """Remove rows; returns how many there were."""

    def nearest(self, vectors: Vectors, k: int, condition: Filter | None) -> list[Scored]:
        """Rows with the largest inner products, for each vector.

        Approximate where a tenth of the rows or more satisfy the condition, else exact.
        """

    def by_words(self, words: Sequence[str], k: int, condition: Filter | None) -> Scored:
        """Rows by the BM25 of the words."""

    def count(self, condition: Filter | None) -> int:
        """Rows that satisfy the condition."""

    def get(self, keys: Sequence[str]) -> dict[str, StoredRow]:
        """Rows by key; absent ones are left out."""

    def persist(self) -> None:
        """Write caches; rows are stored already."""

    def close(self) -> None:
        """Free connections and memory."""
