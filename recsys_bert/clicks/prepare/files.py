"""Files of a path, folder or glob, each as a lazy table."""

import glob
import importlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.decoding import COMPRESSED, decoded, likely_encoding, plain_name
from recsys_bert.clicks.prepare.formats import ENDINGS, FORMATS
from recsys_bert.clicks.prepare.table_config import TEXT_FORMATS, TableConfig
from recsys_bert.errors import InputError

BINARY = ("parquet", "arrow")


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
        raise InputError(f"{folder} holds no log files; known endings: {', '.join(ENDINGS)} (also .gz, .bz2, .xz).")
    if len(kinds) > 1:
        raise InputError(
            f"{folder} holds files of several kinds ({', '.join(kinds)}). Choose by glob: '{folder}/*.csv'."
        )
    return files


def kind_of(path: Path) -> str | None:
    """Format by the file's ending, without .gz; None for an unknown ending."""
    return ENDINGS.get(Path(plain_name(path)).suffix.lower())


def format_of(path: Path, config: TableConfig, setting: str = "--log.format") -> str:
    """Format of a file: named, CSV where a separator or columns are, or by the ending.

    Raises:
        InputError: It is not known, or no text although settings of text are named.
    """
    if config.format != "auto":
        return config.format
    kind = kind_of(path)
    if config.names_text:
        if kind in BINARY:
            raise InputError(f"{path.name} is {kind}, which has no separator and names its columns. Leave both out.")
        return kind if kind in TEXT_FORMATS and kind != "movielens" else "csv"
    if kind is None:
        raise InputError(
            f"the format of {path.name} does not show in the ending. Name it with {setting}; known: "
            f"{', '.join(FORMATS)}."
        )
    return kind


def scan_file(path: Path, kind: str, config: TableConfig, work: Path, encoding_setting: str) -> pl.LazyFrame:
    """Open one file lazily.

    Args:
        path: The file.
        kind: Its format.
        config: How text is read.
        work: Folder for copies of files that polars does not read as they are.
        encoding_setting: Names the setting of the encoding in messages.

    Raises:
        InputError: The file cannot be opened, or settings have no effect on its format.
    """
    for setting, kinds in (("encoding", BINARY), ("quote", (*BINARY, "jsonl", "lines"))):
        if kind in kinds and (value := getattr(config, setting)) != "auto":
            raise InputError(f"{setting} is {value!r}, but {path.name} is {kind}: it has no effect. Leave it out.")
    module, _, name = FORMATS[kind].partition(":")
    reader: Callable[[Path, TableConfig], pl.LazyFrame] = getattr(importlib.import_module(module), name)
    try:
        file = path if kind in BINARY else decoded(path, _encoding(path, kind, config.encoding), work)
        table = reader(file, config)
        table.collect_schema()
    except (pl.exceptions.PolarsError, OSError, UnicodeError, EOFError) as error:
        raise unreadable([path], error, encoding_setting, text=kind not in BINARY) from error
    return table


def _encoding(path: Path, kind: str, encoding: str) -> str:
    """MovieLens' titles are Latin-1 in the older sets and UTF-8 in the newer ones."""
    if kind == "movielens" and encoding == "auto" and plain_name(path) == "movies.dat":
        return "latin-1" if likely_encoding(path) else "utf-8"
    return encoding


def unreadable(
    paths: list[Path], error: Exception, encoding_setting: str = "encoding", text: bool = True
) -> InputError:
    """The error for a file that breaks while it is read."""
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    other = next((name for path in paths if text and path.is_file() and (name := _other_encoding(path))), None)
    if other:
        return InputError(
            f"{_named(paths)} is not UTF-8 ({message}). It looks like {other}: pass {encoding_setting} {other}."
        )
    return InputError(f"{_named(paths)} cannot be read: {message}. It may be damaged or of another format or encoding.")


def _other_encoding(path: Path) -> str | None:
    is_text = kind_of(path) not in BINARY and path.suffix.lower() not in COMPRESSED
    return likely_encoding(path) if is_text else None


def _named(paths: list[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"one of {len(paths)} files ({paths[0].name} … {paths[-1].name})"
