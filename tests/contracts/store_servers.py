"""Stores to test: the embedded one, and servers that are started here where their packages are installed."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recsys_bert.stores import STORES
from recsys_bert.stores.opening import open_store
from recsys_bert.stores.vector_store import VectorStore


@dataclass
class Place:
    """Address at which stores of one kind are opened."""

    kind: str
    address: str
    name: str = field(default_factory=lambda: "s" + uuid.uuid4().hex[:12])

    def open(self, **settings: Any) -> VectorStore:
        """Open or make the store."""
        return open_store(self.address, self.kind, name=self.name, **settings)


def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield an empty place for a store of a kind; skip where there is no server."""
    if kind == "faiss":
        yield Place(kind, str(folder / "store"))
        return
    if kind == "elastic":
        address = os.environ.get("ELASTIC_URL")
        if not address:
            pytest.skip("ELASTIC_URL is not set: no Elasticsearch to test with")
    else:
        address = request.getfixturevalue(f"{kind}_server").address
    yield Place(kind, address)


KINDS = sorted(STORES)
