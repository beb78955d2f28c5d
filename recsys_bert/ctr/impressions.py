"""Impressions from files: columns, labels, moments, and the cut into training, validation and test."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.files import find_files, scan, unreadable
from recsys_bert.clicks.prepare.times import PER_SECOND, guess_unit, microseconds, parse_timestamp, text_dates
from recsys_bert.ctr.config import ImpressionsConfig, rule_parts
from recsys_bert.ctr.libfm import read_libfm
from recsys_bert.errors import InputError

SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Impressions:
    """What users were shown.

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

    def where(self, chosen: NDArray[np.bool_]) -> "Impressions":
        """Keep the rows where ``chosen`` is True."""
        labels = None if self.labels is None else self.labels[chosen]
        times = None if self.times is None else self.times[chosen]
        return Impressions(self.frame.filter(pl.Series(chosen)), labels, times)


def read_impressions(
    path: Path, config: ImpressionsConfig, features: Sequence[str], *, labelled: bool = True
) -> Impressions:
    """Read one file.

    Args:
        path: File, folder or glob.
        config: How its columns are called.
        features: Columns that become fields.
        labelled: Whether labels are read.

    Raises:
        InputError: A column is missing, a label or a time cannot be read, ids are lists, or there are no rows.
    """
    label_column = rule_parts(config.label)[0]
    wanted = [config.user, config.item, config.time, *features, label_column if labelled else None]
    frame = _frame(path, config, list(dict.fromkeys(name for name in wanted if name)))
    if not len(frame):
        raise InputError(f"{path} has no rows.")
    for name in frame.columns:
        if name not in features and frame[name].dtype.is_nested():
            kind = frame[name].dtype
            raise InputError(
                f"column {name!r} of {path} is of type {kind}; label, user, item and time are single values."
            )
    labels = read_labels(frame, config.label) if labelled else None
    times = None if config.time is None else read_times(frame[config.time], config.time_unit)
    used = [name for name in frame.columns if name in {config.user, config.item, *features}]
    return Impressions(frame.select(used), labels, times)


def _frame(path: Path, config: ImpressionsConfig, wanted: list[str]) -> pl.DataFrame:
    if config.is_libfm(Path(path)):
        table = read_libfm(Path(path), config.libfm_fields).lazy()
    else:
        table = scan(find_files(str(path)), config.format)
    present = table.collect_schema().names()
    if missing := [name for name in wanted if name not in present]:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, present))}. "
            "Name yours with --impressions.label, .user, .item, .time and under --features."
        )
    try:
        return table.select(wanted).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise unreadable([Path(path)], error) from error


def read_labels(frame: pl.DataFrame, label: str) -> NDArray[np.float32]:
    """Labels 0 or 1 by a column or a rule.

    Raises:
        InputError: Some rows have no label that can be read.
    """
    name, sign, value = rule_parts(label)
    column = frame[name]
    if column.dtype == pl.Boolean and sign is None:
        labels = column.cast(pl.Float32)
    elif sign is None:
        words = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0, "-1": 0.0, "-1.0": 0.0}
        labels = (
            column.cast(pl.String)
            .str.strip_chars()
            .str.to_lowercase()
            .replace_strict(words, default=None, return_dtype=pl.Float32)
        )
    else:
        labels = _judged(column, sign, value).cast(pl.Float32)
    if bad := labels.null_count():
        row = int(labels.is_null().arg_max() or 0)
        raise InputError(
            f"row {row + 1}: {name} is {column[row]!r}, which gives no label by {label!r}; {bad} such rows in all. "
            "Labels are 0 or 1, or a rule such as --impressions.label 'rating >= 4'."
        )
    return labels.to_numpy().astype(np.float32)


def _judged(column: pl.Series, sign: str, value: str) -> pl.Series:
    number = pl.Series([value]).cast(pl.Float64, strict=False)[0]
    if number is None:
        if sign not in ("==", "!="):
            raise InputError(f"label rule: {value!r} is not a number, which {sign} needs; use == or != for text.")
        return SIGNS[sign](column.cast(pl.String), value)
    return SIGNS[sign](column.cast(pl.Float64, strict=False).fill_nan(None), number)  # NaN gives no label


def read_times(column: pl.Series, unit: str) -> NDArray[np.int64]:
    """Moments as unix seconds, rounded down.

    Raises:
        InputError: Some cannot be read.
    """
    frame = column.rename("time").to_frame()
    numbers = pl.Series([], dtype=pl.Float64) if column.dtype.is_temporal() else column.cast(pl.Float64, strict=False)
    chosen = guess_unit(numbers) if unit == "auto" else unit
    timestamp = microseconds(pl.col("time"), column.dtype, chosen)
    if column.dtype == pl.String:
        timestamp = pl.coalesce(timestamp, text_dates(pl.col("time")))
    times = frame.select(timestamp.alias("time"))["time"]
    if bad := times.null_count():
        row = int(times.is_null().arg_max() or 0)
        raise InputError(
            f"row {row + 1}: time {column[row]!r} is not a number or an ISO date; {bad} such rows in all. Mend them, "
            "or leave the rows out."
        )
    return times.to_numpy() // PER_SECOND


def read_splits(
    config: ImpressionsConfig, features: Sequence[str], borders: tuple[int, int] | None = None
) -> dict[str, Impressions]:
    """Read training, validation and, where there is one, test.

    Args:
        config: Files and columns.
        features: Columns that become fields.
        borders: Moments (unix seconds) at which validation and test of the prepared folder begin, if it was cut by
            time; they are used where the config names none.

    Raises:
        InputError: As ``read_impressions``, or a split is empty.
    """
    if config.log is None:
        paths = {"train": config.train, "validation": config.validation, "test": config.test}
        return {name: read_impressions(path, config, features) for name, path in paths.items() if path is not None}
    whole = read_impressions(config.log, config, features)
    assert whole.times is not None  # the config asks for a time column
    first = _border(config.validation_from, whole.times, 0.8, None if borders is None else borders[0])
    second = _border(config.test_from, whole.times, 0.9, None if borders is None else borders[1])
    times = whole.times
    parts = {"train": times < first, "validation": (times >= first) & (times < second), "test": times >= second}
    for name, chosen in parts.items():
        if not chosen.any():
            raise InputError(
                f"no impression falls into {name}: validation begins at {first}, test at {second} (unix seconds), "
                f"and impressions lie between {times.min()} and {times.max()}. Move impressions.validation_from or "
                "impressions.test_from."
            )
    return {name: whole.where(chosen) for name, chosen in parts.items()}


def _border(asked: float | str | None, times: NDArray[np.int64], default: float, dataset: int | None) -> int:
    if asked is None and dataset is not None:
        return dataset
    if isinstance(asked, str):
        return parse_timestamp(asked) // PER_SECOND
    place = int((default if asked is None else asked) * len(times))  # as `prepare` cuts the click log
    return int(np.partition(times, place)[place])
