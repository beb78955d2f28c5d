"""Files of results: checked before the work, written after it."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_SUFFIXES = (".parquet", ".csv", ".jsonl")


def check_out(out: Path | None) -> None:
    """Refuse a file of rows that cannot be written; see ``write_frame``.

    Raises:
        InputError: Another ending than .parquet, .csv or .jsonl; or see ``check_place``.
    """
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError(f"out is {out}; its ending says what is written: {', '.join(_SUFFIXES)}.")
    check_place(out)


def check_place(path: Path | None, *, folder: bool = False) -> None:
    """Find out now, not after the work, that nothing can be written there; nothing is made.

    Args:
        path: What is to be written; None where nothing is.
        folder: True for a folder of files, False for one file.

    Raises:
        InputError: A folder lies where a file is to be, or the other way round; or nothing can be written.
    """
    if path is None:
        return
    try:
        if path.exists() and path.is_dir() != folder:
            is_there, needed = ("file", "folder") if folder else ("folder", "file")
            raise InputError(f"{path} is a {is_there}; a {needed} is to be written there. Choose another name.")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Choose another name.") from error
    check_writable(path / "a file" if folder else path, path)


def check_writable(path: Path, out: Path | None = None) -> None:
    """Refuse a path below which or beside which nothing can be written; nothing is made.

    Args:
        path: What is to be written; folders above it need not be there.
        out: Its name for the message, if another.

    Raises:
        InputError: The nearest folder above it is a file, or cannot be written.
    """
    try:
        path.exists()  # a name may be too long
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        if not parent.is_dir():
            raise InputError(f"cannot write {out or path}: {parent} is a file. Choose another name.")
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise InputError(f"cannot write {out or path}: {error.strerror}. Choose another name.") from error


def write_frame(frame: "pl.DataFrame", out: Path) -> None:
    """Write rows as the ending of ``out`` says, whole or not at all.

    Raises:
        InputError: ``out`` cannot be written.
    """
    from recsys_bert.files import replacing

    with replacing(out) as temporary:
        if out.suffix == ".parquet":
            frame.write_parquet(temporary)
        elif out.suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_ndjson(temporary)
