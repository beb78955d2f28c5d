"""Temporary work folder beside the output, on the same disk; locked while its process lives."""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recsys_bert.errors import InputError


@contextlib.contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder on the disk of ``out``, which has room for the log where the system's may not.

    It is locked while its process lives; those that killed processes left for the same ``out`` are removed.

    Raises:
        InputError: No folder can be written there.
    """
    for left in out.parent.glob(f".{glob.escape(out.name)}-{'[a-z0-9_]' * 8}"):
        with _locked(left) as is_free:
            if is_free and (left / "log.arrow").exists():  # else another program's, of a similar name
                shutil.rmtree(left, ignore_errors=True)
    try:
        work = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}. Choose another --out.") from error
    with work as name, _locked(Path(name)):
        yield Path(name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder; False if another process holds it, or if the system or a network disk has no locks."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
