"""Impressions from data frames or files: columns, labels and timestamps."""

import io
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.frames import Frame, to_frame
from recsys_bert.clicks.prepare.files import find_files, scan, unreadable
from recsys_bert.clicks.prepare.times import PER_SECOND, guess_unit, microseconds, text_dates
from recsys_bert.ctr.config import ColumnsConfig, FilesConfig, rule_parts
from recsys_bert.ctr.libfm import read_libfm
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint

SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
LABELS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0, "-1": 0.0, "-1.0": 0.0}


@dataclass(frozen=True)
class Impressions:
    """Items that were shown to users, with or without labels.

    Args:
        frame: The columns that are used, as read; one row an impression.
        labels: float32 ``[n]``, 1 for a click; None where there are none (impressions to score).
        times: Unix seconds, int64 ``[n]``, rounded down; None without a time column.
    """

    frame: pl.DataFrame
    labels: NDArray[np.float32] | None
    times: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: NDArray[np.bool_]) -> "Impressions":
        """Select the rows where ``mask`` is True."""
        labels = None if self.labels is None else self.labels[mask]
        times = None if self.times is None else self.times[mask]
        return Impressions(self.frame.filter(pl.Series(mask)), labels, times)


def as_source(impressions: Frame | Path | str, title: str = "impressions") -> pl.DataFrame | Path:
    """Take a table of any library, or a path.

    Raises:
        InputError: Neither a table nor a path.
    """
    return Path(impressions) if isinstance(impressions, str | Path) else to_frame(impressions, title)


def source_fingerprint(source: pl.DataFrame | Path) -> str:
    """SHA-256 over a table's contents, or over the files of a path."""
    if isinstance(source, Path):
        return fingerprint(find_files(str(source)))
    buffer = io.BytesIO()
    source.rechunk().write_ipc(buffer)
    return sha256(buffer.getbuffer()).hexdigest()


def read_impressions(
    source: Frame | Path | str,
    columns: ColumnsConfig,
    features: Sequence[str],
    *,
    files: FilesConfig | None = None,
    labelled: bool = True,
) -> Impressions:
    """Read a data frame, or a file, folder or glob.

    Args:
        source: Table of any library, or a path.
        columns: Names of label, user, item and time.
        features: Columns that become fields.
        files: Format of files.
        labelled: Read labels.

    Raises:
        InputError: A column is missing, a label or a time cannot be read, ids are lists, or there are no rows.
    """
    label_column = rule_parts(columns.label)[0]
    names = [columns.user, columns.item, columns.time, *features, label_column if labelled else None]
    frame, title = _read_columns(source, files or FilesConfig(), list(dict.fromkeys(name for name in names if name)))
    if not len(frame):
        raise InputError(f"{title} has no rows.")
    for name in frame.columns:
        if name not in features and frame[name].dtype.is_nested():
            kind = frame[name].dtype
            raise InputError(
                f"column {name!r} of {title} is of type {kind}; label, user, item and time are single values."
            )
    labels = read_labels(frame, columns.label) if labelled else None
    times = None if columns.time is None else read_times(frame[columns.time], columns.time_unit)
    used = [name for name in frame.columns if name in {columns.user, columns.item, *features}]
    return Impressions(frame.select(used), labels, times)


def _read_columns(source: Frame | Path | str, files: FilesConfig, names: list[str]) -> tuple[pl.DataFrame, str]:
    """The columns ``names`` of a data frame or file, and what to call it in messages."""
    source = as_source(source)
    title = str(source) if isinstance(source, Path) else "the table of impressions"
    if isinstance(source, pl.DataFrame):
        table = source.lazy()
    elif files.is_libfm(source):
        table = read_libfm(source, files.libfm_fields).lazy()
    else:
        table = scan(find_files(str(source)), files.format)
    present = table.collect_schema().names()
    if missing := [name for name in names if name not in present]:
        raise InputError(
            f"{title} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, present))}. "
            "Set columns.label, columns.user, columns.item, columns.time and features to names of these."
        )
    try:
        return table.select(names).collect(engine="streaming"), title
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise unreadable([Path(title)], error) from error


def read_labels(frame: pl.DataFrame, label: str) -> NDArray[np.float32]:
    """Labels 0 or 1 by a column or a rule.

    Raises:
        InputError: Some rows have no label that can be read.
    """
    name, sign, value = rule_parts(label)
    column = frame[name]
    if sign is not None:
        labels = _compare(column, sign, value).cast(pl.Float32)
    elif column.dtype == pl.Boolean:
        labels = column.cast(pl.Float32)
    else:
        text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        labels = text.replace_strict(LABELS, default=None, return_dtype=pl.Float32)
    if n_bad := labels.null_count():
        row = int(labels.is_null().arg_max() or 0)
        raise InputError(
            f"row {row + 1}: {name} is {column[row]!r}, which gives no label by {label!r}; {n_bad} such rows in all. "
            "Labels are 0 or 1, or a rule: columns.label = 'rating >= 4'."
        )
    return labels.to_numpy().astype(np.float32)


def _compare(column: pl.Series, sign: str, value: str) -> pl.Series:
    number = pl.Series([value]).cast(pl.Float64, strict=False)[0]
    if number is None:
        if sign not in ("==", "!="):
            raise InputError(f"label rule: {value!r} is not a number, which {sign} needs; use == or != for text.")
        return SIGNS[sign](column.cast(pl.String), value)
    return SIGNS[sign](column.cast(pl.Float64, strict=False).fill_nan(None), number)  # NaN gives no label


def read_times(column: pl.Series, unit: str) -> NDArray[np.int64]:
    """Timestamps as unix seconds, rounded down.

    Raises:
        InputError: Some cannot be read.
    """
    frame = column.rename("time").to_frame()
    numbers = pl.Series([], dtype=pl.Float64) if column.dtype.is_temporal() else column.cast(pl.Float64, strict=False)
    timestamp = microseconds(pl.col("time"), column.dtype, guess_unit(numbers) if unit == "auto" else unit)
    if column.dtype == pl.String:
        timestamp = pl.coalesce(timestamp, text_dates(pl.col("time")))
    times = frame.select(timestamp.alias("time"))["time"]
    if n_bad := times.null_count():
        row = int(times.is_null().arg_max() or 0)
        raise InputError(
            f"row {row + 1}: time {column[row]!r} is not a number or an ISO date; {n_bad} such rows in all. Correct "
            "them, or leave the rows out."
        )
    return times.to_numpy() // PER_SECOND
