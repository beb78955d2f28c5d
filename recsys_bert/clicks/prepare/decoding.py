"""Compressed and otherwise encoded text files as plain UTF-8 files that polars reads."""

import bz2
import codecs
import gzip
import lzma
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from recsys_bert.errors import InputError

_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_BLOCK = 1 << 20
_SAMPLE = 1 << 22
COMPRESSED = (".gz", ".bz2", ".xz")


def plain_name(path: Path) -> str:
    """Name without the ending of a compressed file."""
    return path.stem if path.suffix.lower() in COMPRESSED else path.name


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if it is compressed."""
    with open(path, "rb") as file:
        start = file.read(8)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            return cast(BinaryIO, opener(path, "rb"))
    return open(path, "rb")


def decoded(path: Path, encoding: str, folder: Path) -> Path:
    """The file itself if polars reads it as it is, else a UTF-8 copy in ``folder``.

    Args:
        path: Text, maybe compressed.
        encoding: Its encoding; ``auto``: UTF-8, or by its byte-order mark.
        folder: Where a copy goes.

    Raises:
        InputError: There is no such encoding, or the file is not in it.
    """
    with open_binary(path) as file:
        start = file.read(4)
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    encoding = marked or ("utf-8" if encoding == "auto" else encoding)
    try:
        is_utf8 = codecs.lookup(encoding).name == "utf-8"
    except LookupError as error:
        raise InputError(f"encoding is {encoding!r}, which Python does not know; use latin-1, gb18030 …") from error
    copy = folder / plain_name(path)
    if is_utf8 and path.suffix.lower() not in (".bz2", ".xz"):
        return path
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_binary(path) as source, open(copy, "wb") as target:
            if is_utf8:
                shutil.copyfileobj(source, target, _BLOCK)
                return copy
            decode = codecs.getincrementaldecoder(encoding)()
            while block := source.read(_BLOCK):
                target.write(decode.decode(block).encode())
            target.write(decode.decode(b"", final=True).encode())
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not in {encoding}: {error.reason}. Name its encoding.") from error
    return copy


def likely_encoding(path: Path) -> str | None:
    """Encoding of a text that is not UTF-8, by its first bytes; None if it is."""
    with open_binary(path) as file:
        sample = file.read(_SAMPLE)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
        return None
    except UnicodeDecodeError:
        runs = re.findall(rb"[\x80-\xff]+", sample)
        even = sum(len(run) % 2 == 0 for run in runs)
        return "gb18030" if even > 0.9 * len(runs) else "latin-1"
