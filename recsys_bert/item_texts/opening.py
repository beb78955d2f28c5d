"""Opening of text encoders that runs keep: the caller says how, as nothing here knows of tokens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Opener = Callable[[Path], Any]
"""Folder → text encoder, as ``nlp_tasks.TextEncoder.load``."""

_OPENER: ContextVar[Opener | None] = ContextVar("text_encoder_opener", default=None)


@contextmanager
def opening_text_encoders(opener: Opener | None) -> Iterator[None]:
    """Within, runs open the text encoder that they keep by ``opener`` where a new text needs it; None: as outside."""
    token = _OPENER.set(opener or _OPENER.get())
    try:
        yield
    finally:
        _OPENER.reset(token)


def saved_encoder(folder: Path) -> Callable[[list[str]], Any] | None:
    """Vectors of texts by the encoder in a folder, which the first call opens; None without one, or without opener."""
    opener, opened = _OPENER.get(), list[Any]()
    if opener is None or not folder.is_dir():
        return None

    def encode(texts: list[str]) -> Any:
        if not opened:
            opened.append(opener(folder))
        return opened[0].encode(texts)

    return encode
