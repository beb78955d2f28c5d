"""Checksums of a folder's files, written with an artefact and verified when it is opened.

``checksums.sha256`` is what ``sha256sum -c`` reads, with a last line about itself.
"""

import hashlib
import os
import time
from pathlib import Path

from recsys_bert.errors import InputError

NAME = "checksums.sha256"
_SELF = "# sha256 of the lines above: "
_DIGESTS: dict[tuple[int, ...], str] = {}  # of files that this process read, by their state
_SETTLED = 2.0  # seconds after which a write shows in a file's times, however coarse they are


def file_digest(path: Path) -> str:
    """SHA-256 of a file; read once a process as long as it is not written to."""
    state = os.stat(path)
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if key in _DIGESTS:
        return _DIGESTS[key]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if abs(time.time() - max(state.st_mtime, state.st_ctime)) > _SETTLED:
        _DIGESTS[key] = digest
    return digest


def write_checksums(folder: Path, *names: str) -> None:
    """Write the checksums of the named files of a folder; of all files below it where none is named."""
    everything = (path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    paths = sorted([folder / name for name in names] or everything)
    lines = "".join(f"{file_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths)
    own = hashlib.sha256(lines.encode()).hexdigest()
    (folder / NAME).write_text(f"{lines}{_SELF}{own}\n", encoding="utf-8")


def check_file(path: Path, remedy: str) -> None:
    """Verify a file, if checksums beside it list it; see ``check_intact``."""
    if (path.parent / NAME).is_file() and path.name in (listed := _listed(path.parent, remedy)):
        _check(path, listed[path.name], remedy)


def check_intact(folder: Path, remedy: str) -> None:
    """Verify every file that ``write_checksums`` listed.

    Args:
        folder: The artefact.
        remedy: What else helps than a copy, as in ``"train the run again"``.

    Raises:
        InputError: A file is missing or was changed since, or there are no checksums.
    """
    for name, digest in _listed(folder, remedy).items():
        _check(folder / name, digest, remedy)


def _check(path: Path, digest: str, remedy: str) -> None:
    try:
        intact = file_digest(path) == digest
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing, though {NAME} lists it. Put it back, or {remedy}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Put a copy there, or {remedy}.") from error
    if not intact:
        raise InputError(
            f"{path} is damaged: its contents are not those that were written (see {NAME} beside it). Restore it from "
            f"a copy, or {remedy}."
        )


def _listed(folder: Path, remedy: str) -> dict[str, str]:
    """Digest of each file by its name, as the record has them."""
    path = folder / NAME
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: the folder is damaged, or another version wrote it. Put it back, or {remedy}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Restore it from a copy, or {remedy}.") from error
    lines, _, own = text.rpartition(_SELF)
    if own != hashlib.sha256(lines.encode()).hexdigest() + "\n":
        raise InputError(f"{path} is damaged. Restore it from a copy, or {remedy}.")
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines.splitlines())}
