"""Trainings that are not to see test examples, as in a search for settings."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_hides = ContextVar("test examples are hidden", default=False)


@contextlib.contextmanager
def without_test() -> Iterator[None]:
    """Let trainings within the block drop test examples before these are encoded or evaluated."""
    token = _hides.set(True)
    try:
        yield
    finally:
        _hides.reset(token)


def visible(parts: Mapping[str, T]) -> dict[str, T]:
    """Parts of the data by name, without ``test`` within ``without_test``."""
    return {name: part for name, part in parts.items() if name != "test" or not _hides.get()}
