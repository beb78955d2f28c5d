"""Lines of text files: plain, gzip or bzip2, in any encoding that Python knows."""

import bz2
import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nlp_tasks.encodings import fitting_encodings
from nlp_tasks.examples import flag
from recsys_bert.errors import InputError
from recsys_bert.parsing import parse_json

_OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}
_MAGIC = {
    b"\x1f\x8b": ("gzip", ".gz"),
    b"BZh": ("bzip2", ".bz2"),
    b"PK\x03\x04": ("zip", ""),
    b"\xfd7zXZ": ("xz", ""),
    b"\x28\xb5\x2f\xfd": ("zstandard", ""),
}
_SAMPLE = 1 << 16  # bytes by which an encoding is recognised


def suffix(path: Path) -> str:
    """Ending of a file's name in small letters, without that of a compression: ``.tsv`` of ``a.TSV.gz``."""
    path = Path(path)
    return Path(path.stem if path.suffix.lower() in _OPEN else path.name).suffix.lower()


def read_lines(path: Path, encoding: str = "utf-8", *, flags: str | None = None) -> Iterator[tuple[int, str]]:
    """Lines of a file with their numbers from 1, without their ends; a byte order mark is left out.

    Only a line feed ends a line: other separators of Unicode do occur within texts.

    Args:
        path: The file; ``.gz`` and ``.bz2`` are decompressed.
        encoding: Its encoding.
        flags: Group of the command's flags that has ``encoding``, for messages; None: there is none.

    Raises:
        InputError: The file cannot be read or has another encoding; the message names file, line and byte, and the
            encodings that fit.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):  # whose line feeds are several bytes
                yield from _wide_lines(path, file, encoding)
                return
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode(encoding).rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise _wrong_encoding(path, number, raw, error, encoding, flags) from error
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged: {error}. Fetch it again.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_text(path: Path, encoding: str = "utf-8", *, flags: str | None = None) -> str:
    """Text of a file as it stands, carriage returns included, so that characters can be counted; see ``read_lines``."""
    for _ in read_lines(path, encoding, flags=flags):  # names the line that has another encoding
        pass
    with _open(Path(path)) as file:
        return file.read().decode(encoding).removeprefix("\ufeff")


def read_json_document(path: Path, encoding: str = "utf-8", *, flags: str | None = None) -> Any:
    """Value of a file that is one JSON document; see ``read_lines``.

    Raises:
        InputError: It cannot be read, or is not JSON.
    """
    text = "\n".join(line for _, line in read_lines(path, encoding, flags=flags))
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}. It may be damaged; make it again.") from error


def _open(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed as its name says.

    Raises:
        InputError: It is compressed, but its name does not say so, or no reader takes the compression.
    """
    if (opener := _OPEN.get(path.suffix.lower())) is not None:
        return opener(path, "rb")
    with open(path, "rb") as file:
        begins = file.read(8)
    for magic, (name, ending) in _MAGIC.items():
        if begins.startswith(magic):
            rest = f"rename it to {path.name}{ending}" if ending else "unpack it, or compress it with gzip (.gz)"
            raise InputError(f"{path} is compressed ({name}), which its name does not say; {rest}.")
    return open(path, "rb")


def _wide_lines(path: Path, file: IO[bytes], encoding: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with io.TextIOWrapper(file, encoding, newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
    except UnicodeError as error:
        raise InputError(f"{path} is not {encoding} behind line {number}: {error}. Name its encoding.") from error


def _wrong_encoding(
    path: Path, number: int, raw: bytes, error: UnicodeDecodeError, encoding: str, flags: str | None
) -> InputError:
    """Error that names the encodings that fit the file."""
    with _open(path) as file:
        before = file.read(_SAMPLE)
    fitting = fitting_encodings(before.rpartition(b"\n")[0] + b"\n" + raw)
    name = "UTF-8" if encoding == "utf-8" else encoding
    byte = f"byte 0x{raw[error.start]:02x} at position {error.start + 1} of the line"
    if not fitting:
        rest = "No encoding that is common fits it; look at that line."
    else:
        remedy = f"convert it: iconv -f {fitting[0]} -t UTF-8"
        if flags is not None:
            remedy = f"pass {flag(flags, 'encoding')} {fitting[0]}"
        rest = f"It fits {' or '.join(fitting)}; {remedy}."
    return InputError(f"line {number} of {path} is not {name}: {byte}. {rest}")
