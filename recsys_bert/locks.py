"""One writer at a time: a lock beside an output that names its holder and is freed when that process ends."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from recsys_bert.errors import InputError

_HELD: ContextVar[frozenset[Path]] = ContextVar("outputs that this process writes", default=frozenset())


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of an output, ``.NAME.lock`` beside it; within the block it may be taken again.

    The system frees the lock when the process ends, however it ends. Where a disk has no locks, as some network disks,
    the block runs without one.

    Raises:
        InputError: Another process, which the message names, or another thread holds it; or nothing can be written.
    """
    target = out.resolve()
    if target in _HELD.get() or not target.name:
        yield
        return
    path = _lock_file(target)
    handle = _locked(out, path)
    token = _HELD.set(_HELD.get() | {target})
    try:
        yield
    finally:
        _HELD.reset(token)
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it; for moments only. Where a disk has no locks, the block runs without one."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_being_written(out: Path) -> bool | None:
    """True if a living process, this one included, holds ``only_writer``; None if the disk has no locks."""
    try:
        handle = os.open(_lock_file(out.resolve()), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        locked = try_lock(handle)
        return None if locked is None else not locked
    finally:
        os.close(handle)


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _locked(out: Path, path: Path) -> int:
    """Open and lock the file, and write into it who holds it."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"cannot write to {out}: {error.strerror}. Choose another --out.") from error
        if try_lock(handle) is False:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise InputError(
                f"{out} is being written by {holder or 'another process'}. Wait until that ends, or choose another "
                f"--out; the lock {path} is freed when its process ends."
            )
        if _is_at(handle, path):  # else the last holder removed it meanwhile
            break
        os.close(handle)
    os.ftruncate(handle, 0)
    with contextlib.suppress(OSError):  # a full disk may not name the holder, but locks
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}, since {_now()}\n".encode())
    return handle


def try_lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed.

    Returns:
        False if somebody else holds the lock; None if the system or the disk has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
