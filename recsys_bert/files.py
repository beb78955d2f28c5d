"""Atomic artefacts: written to a temporary name, then renamed."""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from recsys_bert.errors import InputError


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it over ``target`` when the block ends well.

    The block creates either a file or a folder there. If it raises, the temporary path is removed and ``target`` stays
    as it was. A file never replaces a folder, whose contents would be lost.

    Raises:
        InputError: The folder cannot be written, a folder stands where a file is to go, or ``target`` has no name, as
            the current folder.
    """
    target = Path(target)
    if target.name in ("", ".."):
        raise InputError(f"cannot write {target}: that is a folder's place, not a name. Choose a name below it.")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}. Choose another output folder.") from error
    try:
        yield temporary
        _swap(temporary, target)
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith((str(temporary), str(target))):
            raise  # about another file, which the block read
        raise InputError(f"cannot write {target}: {error.strerror or error}. Nothing was changed there.") from error
    finally:
        _remove(temporary)


def _swap(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(temporary, target)
        return
    if not temporary.is_dir():
        raise InputError(f"cannot write the file {target}: a folder is there. Choose another name, or move the folder.")
    if _exchange(temporary, target):
        return
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")  # a folder cannot be renamed over a full one
    try:
        os.replace(target, old)
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C between the two as well
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step, so that a killed process leaves either state; False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    swapped: bool = renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0
    return swapped


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(source: Path) -> Any:
    """Read one JSON file.

    Raises:
        InputError: It is missing or is not JSON.
    """
    try:
        return json.loads(Path(source).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{source} does not exist.") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{source} cannot be read as JSON: {error}. It may be damaged; make it again.") from error


def fingerprint(paths: list[Path]) -> str:
    """SHA-256 over the contents of files, in the given order; reads each file once, in blocks."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
