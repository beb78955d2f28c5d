"""Files of a path, folder or glob as a lazy table."""

import glob
import importlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.formats import ENDINGS, FORMATS
from recsys_bert.errors import InputError


def find_files(path: str) -> list[Path]:
    """Files that a path, folder or glob names, sorted by name.

    A folder must hold files of one kind; side files of other kinds in it need a glob.

    Raises:
        InputError: There are none, or a folder holds several kinds.
    """
    if not path:
        raise InputError("no log was named. Pass --events with a file, a folder or a glob.")
    source = Path(path)
    if source.is_file():
        return [source]
    if source.is_dir():
        return _one_kind(source)
    files = [Path(name) for name in sorted(glob.glob(path, recursive=True)) if Path(name).is_file()]
    if not files:
        raise InputError(f"{path} names no file. Give a file, a folder or a glob such as 'logs/*.parquet'.")
    return files


def _one_kind(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and kind_of(file) is not None]
    kinds = sorted({str(kind_of(file)) for file in files})
    if not files:
        raise InputError(f"{folder} holds no log files; known endings: {', '.join(ENDINGS)} (also .gz).")
    if len(kinds) > 1:
        raise InputError(
            f"{folder} holds files of several kinds ({', '.join(kinds)}). Choose by glob: '{folder}/*.csv'."
        )
    return files


def kind_of(path: Path) -> str | None:
    """Format by the file's ending, without .gz; None for an unknown ending."""
    return ENDINGS.get(Path(path.name.removesuffix(".gz")).suffix.lower())


def scan(paths: list[Path], kind: str = "auto") -> pl.LazyFrame:
    """Open files lazily.

    Raises:
        InputError: The format is not known, or a file cannot be opened.
    """
    kinds = {kind_of(path) for path in paths} if kind == "auto" else {kind}
    if len(kinds) > 1 or None in kinds:
        names = ", ".join(path.name for path in paths[:3])
        raise InputError(
            f"the format of {names} does not show in the ending. Name it with --log.format;"
            f" known: {', '.join(FORMATS)}."
        )
    if not any(path.stat().st_size for path in paths):
        raise InputError(f"{_named(paths)} holds nothing: the log is empty.")
    module, _, name = FORMATS[str(kinds.pop())].partition(":")
    reader: Callable[[list[Path]], pl.LazyFrame] = getattr(importlib.import_module(module), name)
    try:
        table = reader(paths)
        table.collect_schema()
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise unreadable(paths, error) from error
    return table


def unreadable(paths: list[Path], error: Exception) -> InputError:
    """The error for a file that breaks while it is read."""
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f"{_named(paths)} cannot be read: {message}. It may be damaged or of another format or encoding.")


def _named(paths: list[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"one of {len(paths)} files ({paths[0].name} … {paths[-1].name})"
