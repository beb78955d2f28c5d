"""Failed writes as messages: every library has its own error for a disk that is full."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from recsys_bert.errors import InputError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not grow that large here (ulimit -f)",
    errno.EROFS: "the disk can only be read",
}
_TEXTS = {os.strerror(number): number for number in _REASONS} | {"quota exceeded": errno.EDQUOT}


@contextlib.contextmanager
def explaining_full_disk(target: Path) -> Iterator[None]:
    """Turn errors of a full disk into one message that names the disk; other errors pass.

    Args:
        target: Output that the block writes.

    Raises:
        InputError: The block failed because nothing more could be written.
    """
    try:
        yield
    except Exception as error:
        reason = full_disk(error)
        if reason is None or isinstance(error, DiskFull):
            raise
        raise DiskFull(
            f"cannot write {target}: {reason}{_room(target)}. Make room, then run the same command again: nothing "
            "half-written is used, and a training goes on from its last checkpoint."
        ) from error


class DiskFull(InputError):
    """Nothing more can be written where the output is to go."""


def full_disk(error: BaseException | None) -> str | None:
    """Reason why nothing more could be written, if an error or one that it came from says so."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if (number := _number(error)) is not None:
            return _REASONS[number]
        error = error.__cause__ or error.__context__
    return None


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _REASONS else None
    text = str(error)
    if coded := re.search(r"\(os error (\d+)\)", text):  # Rust: polars, safetensors, tokenizers
        return int(coded[1]) if int(coded[1]) in _REASONS else None
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", text):  # NumPy's tofile
        return errno.ENOSPC
    if "write error" in text or "writing" in text:  # FAISS, Arrow
        return next((number for phrase, number in _TEXTS.items() if phrase in text), None)
    return None


def _room(target: Path) -> str:
    """Free room on the disk of ``target``, for the message."""
    try:
        parent = next(parent for parent in target.absolute().parents if parent.exists())
        return f" ({shutil.disk_usage(parent).free / 2**20:,.0f} MiB free at {parent})"
    except OSError:
        return ""
