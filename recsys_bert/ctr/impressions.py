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
from recsys_bert.clicks.prepare.files import find_files
from recsys_bert.clicks.prepare.times import (
    FIRST_LATE,
    JANUARY_1970,
    PER_SECOND,
    check_format,
    guess_unit,
    microseconds,
    text_dates,
    with_format,
)
from recsys_bert.ctr.config import ColumnsConfig, FilesConfig, rule_parts
from recsys_bert.ctr.impression_files import read_columns
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
        frame: Ids, times and features, as read; one row an impression.
        labels: float32 ``[n]``, 1 for a click; ``[n, n_tasks]`` of several labels, NaN where one is missing; None where
            there are none (impressions to score).
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
    optional: Sequence[str] = (),
    advice: str = "Set columns.label, columns.user, columns.item, columns.time and features to names of these.",
) -> Impressions:
    """Read a data frame, or a file, folder or glob.

    Args:
        source: Table of any library, or a path.
        columns: Names of label, user, item and time.
        features: Columns that become fields.
        files: Format of files.
        labelled: Read labels.
        optional: Columns that are read if they are there.
        advice: Ends the error that names missing columns.

    Raises:
        InputError: A column is missing, a label or a time cannot be read, ids are lists, or there are no rows.
    """
    label_columns = [rule_parts(label)[0] for label in columns.tasks] if labelled else []
    names = [columns.user, columns.item, columns.time, columns.history, *features, *label_columns]
    required = list(dict.fromkeys(name for name in names if name))
    parts, title = read_columns(as_source(source), files or FilesConfig(), required, optional, advice)
    frame = pl.concat(parts, how="vertical_relaxed") if len(parts) > 1 else parts[0]
    if not len(frame):
        raise InputError(f"{title} has no rows.")
    for name in frame.columns:
        if name not in (*features, columns.history) and frame[name].dtype.is_nested():
            kind = frame[name].dtype
            raise InputError(
                f"column {name!r} of {title} is of type {kind}; label, user, item and time are single values."
            )
    labels = None if not labelled else read_tasks(frame, columns.labels or columns.label)
    times = None if columns.time is None else _times(parts, columns, title)
    ids = [name for name in (*optional, columns.user, columns.item, columns.time) if name in frame.columns]
    used = list(dict.fromkeys([*ids, *features, *([] if columns.history is None else [columns.history])]))
    return Impressions(frame.select(used), labels, times)


def _times(parts: list[pl.DataFrame], columns: ColumnsConfig, title: str) -> NDArray[np.int64]:
    """Timestamps of all parts, each in its own unit.

    Raises:
        InputError: Some cannot be read, or lie in January 1970 while all others are years later.
    """
    name = str(columns.time)
    times = np.concatenate([read_times(part[name], columns.time_unit, columns.time_format) for part in parts])
    early, late = np.abs(times) < JANUARY_1970 // PER_SECOND, times >= FIRST_LATE // PER_SECOND
    if early.any() and late.any() and (early | late).all():
        raise InputError(
            f"{int(early.sum()):,} of {len(times):,} times of {title} lie in January 1970, the others years later: a "
            "part has another unit of time, or 0 stands for no time. Correct them, or leave the rows out."
        )
    return times


def read_tasks(frame: pl.DataFrame, labels: str | Sequence[str]) -> NDArray[np.float32]:
    """One label ``[n]``, or several ``[n, n_tasks]`` some of which may be missing in a row (NaN)."""
    if isinstance(labels, str):
        return read_labels(frame, labels)
    return np.stack([read_labels(frame, label, may_miss=True) for label in labels], 1)


def read_labels(frame: pl.DataFrame, label: str, *, may_miss: bool = False) -> NDArray[np.float32]:
    """Labels 0 or 1 by a column or a rule.

    Args:
        frame: Impressions.
        label: The column, or the rule.
        may_miss: A null, NaN or empty text gives NaN.

    Raises:
        InputError: Some rows have no label that can be read.
    """
    name, sign, value = rule_parts(label)
    column = frame[name]
    if column.dtype in (pl.Duration, pl.Object, pl.Binary):
        raise InputError(f"label {name!r} is of type {column.dtype}; labels are 0 or 1, or a rule on a number or text.")
    if sign is not None:
        labels = _compare(column, sign, value).cast(pl.Float32)
    elif column.dtype == pl.Boolean:
        labels = column.cast(pl.Float32)
    else:
        text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        labels = text.replace_strict(LABELS, default=None, return_dtype=pl.Float32)
    bad = labels.is_null() & ~_missing(column) if may_miss else labels.is_null()
    if n_bad := int(bad.sum()):
        row = int(bad.arg_max() or 0)
        raise InputError(
            f"row {row + 1}: {name} is {column[row]!r}, which gives no label by {label!r}; {n_bad} such rows in all. "
            "Labels are 0 or 1, or a rule: columns.label = 'rating >= 4'."
        )
    return labels.cast(pl.Float32).fill_null(float("nan")).to_numpy().astype(np.float32)


def _missing(column: pl.Series) -> pl.Series:
    """True for nulls, NaN and empty text."""
    if column.dtype.is_float():
        return column.is_null() | column.is_nan().fill_null(False)
    if column.dtype == pl.String:
        return column.is_null() | (column.str.strip_chars() == "").fill_null(False)
    return column.is_null()


def _compare(column: pl.Series, sign: str, value: str) -> pl.Series:
    number = pl.Series([value]).cast(pl.Float64, strict=False)[0]
    if number is None:
        if sign not in ("==", "!="):
            raise InputError(f"label rule: {value!r} is not a number, which {sign} needs; use == or != for text.")
        return SIGNS[sign](column.cast(pl.String), value)
    return SIGNS[sign](column.cast(pl.Float64, strict=False).fill_nan(None), number)  # NaN gives no label


def read_times(column: pl.Series, unit: str, pattern: str | None = None) -> NDArray[np.int64]:
    """Timestamps as unix seconds, rounded down.

    Args:
        column: Numbers, text or datetimes.
        unit: Of numbers.
        pattern: Of text, as in ``strptime``.

    Raises:
        InputError: Some cannot be read.
    """
    frame = column.rename("time").to_frame()
    if pattern is not None:
        return _seconds(column, frame, _formatted(column, pattern), f"of columns.time_format {pattern!r}")
    numbers = pl.Series([], dtype=pl.Float64) if column.dtype.is_temporal() else column.cast(pl.Float64, strict=False)
    timestamp = microseconds(pl.col("time"), column.dtype, guess_unit(numbers) if unit == "auto" else unit)
    if column.dtype == pl.String:
        timestamp = pl.coalesce(timestamp, text_dates(pl.col("time")))
    return _seconds(column, frame, timestamp)


def _formatted(column: pl.Series, pattern: str) -> pl.Expr:
    check_format(pattern)
    if column.dtype != pl.String and not column.dtype.is_integer():
        raise InputError(
            f"columns.time_format is {pattern!r}, but column {column.name!r} is of type {column.dtype}. Leave it out."
        )
    return with_format(pl.col("time"), column.dtype, pattern)


def _seconds(
    column: pl.Series, frame: pl.DataFrame, timestamp: pl.Expr, form: str = "a number or an ISO date"
) -> NDArray[np.int64]:
    times = frame.select(timestamp.alias("time"))["time"]
    if n_bad := times.null_count():
        row = int(times.is_null().arg_max() or 0)
        raise InputError(
            f"row {row + 1}: time {column[row]!r} is not {form}; {n_bad} such rows in all. Correct "
            "them, or leave the rows out."
        )
    return times.to_numpy() // PER_SECOND
