"""Open a store by the name of its system."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError, unknown_name
from recsys_bert.stores import STORES
from recsys_bert.stores.backend import About, Metric
from recsys_bert.stores.columns import IdType, check_columns
from recsys_bert.stores.vector_store import VectorStore

MAX_DIM = 4096
"""Widest vectors; Elasticsearch's limit."""


def open_store(
    place: Path | str,
    kind: str = "faiss",
    *,
    name: str = "items",
    dim: int | None = None,
    metric: Metric | None = None,
    ids: IdType | None = None,
    columns: Mapping[str, str] | None = None,
    source: Mapping[str, str] | None = None,
) -> VectorStore:
    """Open a store, or make one where ``dim`` is given and none is there.

    What is given must be what the store was made with; what is not given is taken from it.

    Args:
        place: Folder (faiss) or address: ``postgresql://user@host/database``, ``http://host:19530`` (milvus),
            ``http://host:9200`` (elastic).
        kind: System: a name in ``STORES``.
        name: Name of the store within a database: letters, digits and underscores.
        dim: Width of a vector.
        metric: ``ip`` (where a new store is made without one) or ``cosine``.
        ids: ``str`` (where a new store is made without one) or ``int``.
        columns: Type of each column: int, float, bool, str or tags.
        source: Origin of the vectors, as names and fingerprints; kept, not compared.

    Raises:
        InputError: Unknown kinds or types, no store there, or one made with other settings.
        StoreUnavailable: The database does not answer.
    """
    if kind not in STORES:
        raise unknown_name("kind of store", kind, STORES)
    if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]{0,39}", name) is None:
        raise InputError(f"name is {name!r}; 1 to 40 letters, digits and underscores are allowed, a letter first.")
    if dim is not None and not 1 <= dim <= MAX_DIM:
        raise InputError(f"dim is {dim}; it must be between 1 and {MAX_DIM:,}.")
    for value, known, what in ((metric, ("ip", "cosine"), "metric"), (ids, ("str", "int"), "type of ids")):
        if value is not None and value not in known:
            raise unknown_name(what, value, known)
    checked = None if columns is None else check_columns(columns)
    about = None
    if dim is not None:
        about = About(dim, metric or "ip", ids or "str", checked or {}, dict(source or {}))
    module, _, backend = STORES[kind].partition(":")
    opened = getattr(importlib.import_module(module), backend)(str(place), name, about)
    store = VectorStore(opened, kind, str(place))
    _check_same(store, {"dim": dim, "metric": metric, "ids": ids, "columns": checked})
    return store


def _check_same(store: VectorStore, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        stored = getattr(store.about, name)
        if value is not None and value != stored:
            store.close()
            raise InputError(
                f"the store at {store.place} was made with {name} {stored!r}, not {value!r}. Choose another place, or "
                f"leave {name} out."
            )
