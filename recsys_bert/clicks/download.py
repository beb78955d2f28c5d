"""Fetch a public data set: resumable, checked, unpacked. Standard library only."""

import hashlib
import http.client
import json
import ssl
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from recsys_bert.clicks.download_sources import Source
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.parsing import parse_json
from recsys_bert.progress import Progress

_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
_BLOCK = 1 << 18
_TIMEOUT_S = 30.0
_ATTEMPTS = 5
_WAIT_S = 1.0
"""Seconds before the second attempt; twice as long before each further one."""


def describe(name: str, source: Source) -> str:
    """Describe a source: contents, address, size, checksum, licence."""
    size = f"{source.size:,} bytes" if source.size else "size known to the server"
    check = source.sha256 or "none published; the first download's is recorded, and later ones must equal it"
    return (
        f"{source.about}\n  from     {source.url} ({size})\n  SHA-256  {check}\n  page     {source.page}\n\n"
        f"Licence of {name}, as stated there:\n{source.licence}"
    )


def accept_licence(name: str, source: Source, folder: Path, *, yes: bool, ask: Callable[[str], str] = input) -> None:
    """Show the licence and ask for acceptance, once; it is recorded as ``LICENCE.txt`` in ``folder``.

    Args:
        name: Name of the set.
        source: The set.
        folder: Folder of the set.
        yes: Accept without asking.
        ask: Prompt; returns the answer.

    Raises:
        InputError: It was refused, there is no terminal to ask, or the folder cannot be written.
    """
    accepted = folder / "LICENCE.txt"
    if accepted.is_file() and accepted.read_text(encoding="utf-8") == source.licence + "\n":
        return
    sys.stderr.write(describe(name, source) + "\n\n")
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"there is no terminal to accept the licence of {name}. Read it above and pass --yes.")
        sys.stderr.write("Download it under these terms? [y/N] ")
        sys.stderr.flush()
        if _answer(ask) not in ("y", "yes"):
            raise InputError(f"the licence of {name} was not accepted; nothing was downloaded.")
    with replacing(accepted) as temporary:
        temporary.write_text(source.licence + "\n", encoding="utf-8")


def _answer(ask: Callable[[str], str]) -> str:
    try:
        return ask("").strip().lower()
    except EOFError:
        return ""


def fetch(source: Source, folder: Path) -> Path:
    """Download a source's file into ``folder``, or check the one that is there.

    A download that breaks off leaves ``<file>.part``; the next call continues it if the server still has the same file.
    Broken connections are retried up to four times.

    Returns:
        The file, its checksum verified. A download with a wrong one is removed; a file that was there is left alone.

    Raises:
        InputError: The address cannot be reached, the file differs from the expected one, or the folder cannot be
            written.
    """
    target = folder / PurePosixPath(urllib.parse.urlsplit(source.url).path).name
    part = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _download(source, part)
            _note(part).unlink(missing_ok=True)
            _verify(source, part, target.name)
            part.replace(target)
        else:
            _verify(source, target, target.name)
    except OSError as error:  # network errors were handled before
        raise InputError(f"cannot write {target}: {error.strerror or error}. Choose another --out.") from error
    return target


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _download(source: Source, part: Path) -> None:
    with Progress(f"download {part.stem}", source.size, "bytes", done=_size(part)) as progress:
        for attempt in range(_ATTEMPTS):
            try:
                return _continue(source, part, progress)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500 or attempt == _ATTEMPTS - 1:
                    raise InputError(f"{source.url} answers {error.code} {error.reason}. See {source.page}.") from error
                problem: Exception = error
            except _BROKEN as error:
                problem = error
            if attempt < _ATTEMPTS - 1:
                time.sleep(_WAIT_S * 2**attempt)
    raise InputError(
        f"{source.url} cannot be read ({getattr(problem, 'reason', None) or problem}). {_size(part):,} bytes are in "
        f"{part}; run the command again to go on from there, or put the file there yourself as {part.with_suffix('')}."
    ) from problem


def _continue(source: Source, part: Path, progress: Progress) -> None:
    """Read what is missing of the file in one connection.

    Raises:
        http.client.IncompleteRead: The connection ended too early.
    """
    have = _size(part)
    known = _read_note(part, source)
    if have and (known is None or (not known["version"] and source.sha256 is None)):
        have = 0  # nobody could tell whether the rest belongs to the same file
    if have and have == (known or {}).get("size"):
        return
    headers = {"User-Agent": "recsys-bert", "Accept-Encoding": "identity"}
    if have and known is not None:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": known["version"]} if known["version"] else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(source.url, headers=headers), timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the file is shorter now than what we have of it
            error.close()
            part.unlink()
            raise ConnectionError("the file changed; starting again") from error
        raise
    with response:
        start, total = _extent(response)
        if source.size is not None and total is not None and total != source.size:
            raise InputError(f"{source.url} has {total:,} bytes, not the {source.size:,} expected. See {source.page}.")
        if start not in (0, have):
            raise ConnectionError(f"the server sent bytes from {start}, not from {have}")
        _write_note(part, source, response, total)
        progress.done, progress.total = start, total
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while block := response.read(_BLOCK):
                file.write(block)
                progress.advance(len(block))
    if total is not None and _size(part) < total:
        raise http.client.IncompleteRead(b"", total - _size(part))


def _extent(response: Any) -> tuple[int, int | None]:
    """First byte of a response and size of the file, if known."""
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first = span.partition("-")[0]
        if not (first.isdigit() and total.isdigit()):
            raise ConnectionError("the server sent a part without saying which")
        return int(first), int(total)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _write_note(part: Path, source: Source, response: Any, total: int | None) -> None:
    """Record the file version of a partial download beside it."""
    version = response.headers.get("ETag", "")
    if not version or version.startswith("W/"):  # a weak one does not promise the same bytes
        version = response.headers.get("Last-Modified", "")
    _note(part).write_text(json.dumps({"url": source.url, "version": version, "size": total}), encoding="utf-8")


def _read_note(part: Path, source: Source) -> dict[str, Any] | None:
    try:
        note = parse_json(_note(part).read_text(encoding="utf-8"))
        return note if note["url"] == source.url and isinstance(note["version"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _verify(source: Source, path: Path, name: str) -> None:
    """Compare checksums with those known, or with the first download's; a wrong download is removed.

    Raises:
        InputError: They differ.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            sha256.update(block)
            md5.update(block)
    pin = path.with_name(f"{name}.sha256")
    expected = source.sha256 or (pin.read_text(encoding="utf-8").split()[0] if pin.is_file() else None)
    for kind, expected_sum, checksum in (
        ("SHA-256", expected, sha256.hexdigest()),
        ("MD5", source.md5, md5.hexdigest()),
    ):
        if expected_sum is not None and checksum != expected_sum:
            origin = "" if source.sha256 else f" (recorded at the first download in {pin})"
            advice = f"Remove {path} and run the command again"
            if path.name != name:
                path.unlink()
                advice = "It was removed; run the command again"
            raise InputError(
                f"{name} has {kind} {checksum}, not {expected_sum}{origin}: it is damaged, or its publisher replaced "
                f"it. {advice}; see {source.page}."
            )
    if expected is None:
        pin.write_text(f"{sha256.hexdigest()}  {name}\n", encoding="utf-8")
        sys.stderr.write(f"{name}: SHA-256 {sha256.hexdigest()}; none is published, so it is recorded in {pin}.\n")


def unpack(source: Source, archive: Path, folder: Path) -> None:
    """Extract the source's members from a zip file into ``folder``, atomically, and add headers.

    Raises:
        InputError: The file is no zip, lacks a member, or a member is not a plain file inside the archive.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        try:
            with zipfile.ZipFile(archive) as packed:
                for member in source.members:
                    _extract(packed, member, temporary)
        except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
            raise InputError(f"{archive} cannot be unpacked: {error}. Remove it and download again.") from error
        if source.rewrite is not None:
            source.rewrite(temporary)


def _extract(packed: zipfile.ZipFile, member: str, folder: Path) -> None:
    entry = packed.getinfo(member)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise InputError(f"{member} in {packed.filename} is not a plain file. It is not the publisher's file.")
    # the name comes from SOURCES, never from the archive, so nothing lands outside the folder
    with packed.open(entry) as source, open(folder / PurePosixPath(member).name, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
