"""Atomic artefacts: written to a temporary name, then renamed."""

import contextlib
import ctypes
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from recsys_bert.checksums import write_checksums
from recsys_bert.errors import InputError
from recsys_bert.full_disk import explaining_full_disk, full_disk
from recsys_bert.locks import try_lock
from recsys_bert.parsing import parse_json

_OLD, _WORK = "replaced", "work"


@contextlib.contextmanager
def replacing(target: Path, *, sealed: bool = False) -> Iterator[Path]:
    """Yield a temporary path; rename it over ``target`` when the block ends well.

    The block creates either a file or a folder there. If it raises, the temporary path is removed and ``target`` stays
    as it was. A file never replaces a folder, whose contents would be lost. The contents are on the disk before the
    rename; a process that is killed at any point leaves the old ``target`` or the new one, and what lies beside it is
    removed by the next one that writes it.

    Args:
        target: File or folder.
        sealed: Write ``checksums.sha256`` into a folder, for ``check_intact``.

    Raises:
        InputError: The folder cannot be written, a folder stands where a file is to go, the disk is full, or ``target``
            has no name, as the current folder.
    """
    target = Path(target)
    with scratch_folder(target) as folder, explaining_full_disk(target):
        temporary = folder / target.name
        try:
            yield temporary
            if sealed:
                write_checksums(temporary)
            _share(temporary)
            _sync(temporary)
            _swap(temporary, target)
        except OSError as error:
            if full_disk(error):
                raise
            if error.filename is not None and not str(error.filename).startswith((str(temporary), str(target))):
                raise  # about another file, which the block read
            raise InputError(f"cannot write {target}: {error.strerror or error}. Nothing was changed there.") from error


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``, on the same disk; it is removed after the block.

    It is locked while its process lives; those that killed processes left for the same ``target`` are removed.

    Raises:
        InputError: Nothing can be written there, or ``target`` has no name.
    """
    if target.name in ("", ".."):
        raise InputError(f"cannot write {target}: that is a folder's place, not a name. Choose a name below it.")
    try:
        with explaining_full_disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(target)
            folder, handle = _new_folder(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}. Choose another output folder.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder for caches, beside ``target`` and as ``scratch_folder``: the system's may have no room."""
    with scratch_folder(target) as folder:
        work = folder / _WORK
        work.mkdir()
        yield work


def clear_leftovers(target: Path) -> None:
    """Remove what killed processes left beside ``target``; finish a replacement that one was killed in."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[a-z0-9_]' * 8}.tmp"):
        if left.is_symlink() or not left.is_dir() or (handle := _lock(left)) is None:
            continue
        try:
            if {path.name for path in left.iterdir()} <= {target.name, _OLD, _WORK}:  # else another program's
                if (left / _OLD).exists() and not target.exists():
                    os.replace(left / target.name, target)
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(handle)


def clear_folder(folder: Path) -> None:
    """Remove what killed processes left in a folder and below it; see ``clear_leftovers``."""
    for left in [path for path in folder.rglob(".*.tmp") if is_leftover(path)]:
        clear_leftovers(left.with_name(left.name[1 : -len(".12345678.tmp")]))


def _new_folder(target: Path) -> tuple[Path, int | None]:
    """Make a locked folder with a free name."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
        handle = _lock(folder)
        if folder.exists():  # else another process took it for one that was left, before it was locked
            return folder, handle
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int | None:
    """Lock a folder; None where another process holds it, or the system has no locks."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    if try_lock(handle):
        return handle
    os.close(handle)
    return None


def _share(path: Path) -> None:
    """Give a file, or a folder and all below it, the mode that the umask allows: libraries write some for us alone."""
    probe = path.with_name(_WORK)
    probe.mkdir()  # the umask can only be read by setting it, which other threads would feel
    allowed = stat.S_IMODE(probe.stat().st_mode) & 0o777
    probe.rmdir()
    for one in [path, *(path.rglob("*") if path.is_dir() else ())]:
        mode = allowed if one.is_dir() else allowed & 0o666
        if not one.is_symlink() and stat.S_IMODE(one.stat().st_mode) & 0o777 != mode:
            one.chmod(mode)


def _sync(path: Path) -> None:
    """Bring a file, or a folder and all below it, to the disk."""
    for inner in path.rglob("*") if path.is_dir() else ():
        _sync_one(inner)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a disk that cannot
            raise
    finally:
        os.close(handle)


def _swap(temporary: Path, target: Path) -> None:
    if target.is_dir() and not temporary.is_dir():
        raise InputError(f"cannot write the file {target}: a folder is there. Choose another name, or move the folder.")
    if not target.is_dir():
        os.replace(temporary, target)
    elif not _exchange(temporary, target):  # a folder cannot be renamed over a full one
        old = temporary.with_name(_OLD)
        try:
            os.replace(target, old)
            os.replace(temporary, target)
        except BaseException:  # Ctrl-C between the two as well
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise
    with contextlib.suppress(OSError):  # Windows opens no folders
        _sync_one(target.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one step, where the system can (Linux)."""
    sys.audit("os.rename", str(first), str(second), -1, -1)
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    done: int = rename(here, os.fsencode(first), here, os.fsencode(second), exchange)
    return done == 0


def check_nothing_lost(folder: Path, expected: Collection[str], maker: str) -> None:
    """Refuse to replace a folder that holds entries of others, which would be lost.

    Args:
        folder: Folder to replace.
        expected: Names of all entries that its writer may write.
        maker: Description of the folder, for the message.

    Raises:
        InputError: There are other entries.
    """
    foreign = sorted({path.name for path in folder.iterdir()} - set(expected))
    if foreign:
        names = ", ".join(foreign[:5]) + (" …" if len(foreign) > 5 else "")
        raise InputError(
            f"{folder} is {maker}, but holds other things as well ({names}), which would be lost if it were replaced. "
            "Move them away, or choose another --out."
        )


def is_leftover(path: Path) -> bool:
    """True for what a killed process left beside the file or folder that it was writing."""
    return re.fullmatch(r"\..+\.[a-z0-9_]{8}\.tmp", path.name) is not None and path.is_dir()


def write_json(target: Path, value: Any, *, sealed: bool = False) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically.

    A sealed object gets its own checksum, ``sha256``; the entry ``seconds`` does not count, so that a run that was
    resumed has that of one that was not.
    """
    value = value | {"sha256": _digest(value)} if sealed else value
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(source: Path, *, sealed: bool = False) -> Any:
    """Read one JSON file.

    Args:
        source: The file.
        sealed: ``write_json`` sealed it; the checksum is verified and left out.

    Raises:
        InputError: It is missing, is not JSON, or is not what was sealed.
    """
    try:
        value = parse_json(Path(source).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{source} does not exist.") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{source} cannot be read as JSON: {error}. It may be damaged; make it again.") from error
    if sealed and (not isinstance(value, dict) or value.pop("sha256", None) != _digest(value)):
        raise InputError(
            f"{source} is damaged, or another version wrote it: its contents do not fit its checksum. Restore it from "
            "a copy, or make it again."
        )
    return value


def _digest(value: dict[str, Any]) -> str:
    fixed = {name: item for name, item in value.items() if name != "seconds"}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True, allow_nan=False).encode()).hexdigest()


def fingerprint(paths: list[Path]) -> str:
    """SHA-256 over the contents of files, in the given order; reads each file once, in blocks."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
