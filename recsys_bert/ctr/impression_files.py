"""Columns of impressions from data frames or files."""

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recsys_bert.clicks.prepare.marks import RAGGED
from recsys_bert.clicks.prepare.sources import open_source, ragged_rows
from recsys_bert.ctr.config import FilesConfig
from recsys_bert.ctr.libfm import read_libfm
from recsys_bert.errors import InputError


def read_columns(
    source: pl.DataFrame | Path, files: FilesConfig, names: Sequence[str], optional: Sequence[str], advice: str
) -> tuple[list[pl.DataFrame], str]:
    """Read the columns ``names``, and those of ``optional`` that are there.

    Args:
        source: A data frame, or a file, folder or glob.
        files: How files are read.
        names: Required columns.
        optional: Further columns.
        advice: Ends the error that names missing columns.

    Returns:
        One frame a file, words for missing values as null; and the title of the table in messages.

    Raises:
        InputError: A column is missing, a file cannot be read, or a row has too few or too many cells.
    """
    title = str(source) if isinstance(source, Path) else "the table of impressions"
    if isinstance(source, Path) and not files.is_libfm(source):
        parts = _read_files(source, files, names, optional, advice)
    else:
        table = read_libfm(source, files.libfm_fields) if isinstance(source, Path) else source
        _check_names(title, table.columns, names, advice)
        parts = [table.select(_with_optional(names, optional, table.columns))]
    words = pl.col(pl.String)
    return [part.with_columns(pl.when(~words.is_in(list(files.missing))).then(words)) for part in parts], title


def _read_files(
    path: Path, files: FilesConfig, names: Sequence[str], optional: Sequence[str], advice: str
) -> list[pl.DataFrame]:
    """Read each file; rows of too few or too many cells are refused, or dropped and counted."""
    source = open_source(path, "impressions", files, "files")
    try:
        parts = source.parts()
        for part in parts:
            hint = source.separator_hint(part.columns())
            _check_names(part.name, part.columns(), names, f"{hint.strip()} {advice}".strip())
        shared = [name for name in optional if all(name in part.columns() for part in parts)]
        columns = _with_optional(names, shared, shared)
        frames = [part.table.select(*columns, *part.marks()).collect(engine="streaming") for part in parts]
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise source.unreadable(error) from error
    n_ragged = sum(int(frame[RAGGED].sum() or 0) for frame in frames if RAGGED in frame.columns)
    if n_ragged and files.bad_rows == "error":
        raise ragged_rows(source, parts, n_ragged, "files")
    if n_ragged:
        n_rows = sum(map(len, frames))
        print(
            f"{n_ragged:,} of {n_rows:,} rows of {path} have too few or too many cells and are dropped.",
            file=sys.stderr,
        )
        frames = [frame.filter(pl.col(RAGGED).not_()) if RAGGED in frame.columns else frame for frame in frames]
    return [frame.select(columns) for frame in frames]


def _with_optional(names: Sequence[str], optional: Sequence[str], present: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*names, *(name for name in optional if name in present)]))


def _check_names(title: str, present: list[str], names: Sequence[str], advice: str) -> None:
    if missing := [name for name in names if name not in present]:
        raise InputError(
            f"{title} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, present))}. {advice}"
        )
