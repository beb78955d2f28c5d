"""Columns of one part of a log as expressions: user, item, time, weight, event type, and why a row is dropped."""

from dataclasses import dataclass

import polars as pl

from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.ids import check_floats, integer_ids, present, text_ids
from recsys_bert.clicks.prepare.marks import LINE, RAGGED
from recsys_bert.clicks.prepare.nested import one_event_a_row
from recsys_bert.clicks.prepare.sources import Part, TableSource
from recsys_bert.clicks.prepare.times import JANUARY_1970, guess_unit, microseconds, text_dates, with_format
from recsys_bert.errors import InputError

# Reasons why a row is dropped; the first that holds is counted. 0 is a valid row.
RAGGED_ROW, NO_USER, NO_ITEM, NO_TIME, BAD_TIME, EARLY_TIME, BAD_WEIGHT, NEGATIVE, OTHER_EVENT, LOW_WEIGHT = range(
    1, 11
)
REASONS = {
    RAGGED_ROW: "too few or too many cells",
    NO_USER: "no user",
    NO_ITEM: "no item",
    NO_TIME: "no time",
    BAD_TIME: "unreadable time",
    EARLY_TIME: "time in January 1970",
    BAD_WEIGHT: "unreadable weight",
    NEGATIVE: "weight below 0",
    OTHER_EVENT: "event type dropped",
    LOW_WEIGHT: "weight too low",
}
ROLES = {
    NO_USER: "user",
    NO_ITEM: "item",
    NO_TIME: "time",
    BAD_TIME: "time",
    EARLY_TIME: "time",
    BAD_WEIGHT: "weight",
    NEGATIVE: "weight",
}
"""Setting that names the column at fault; reasons that are bad rows."""

BAD = (RAGGED_ROW, *ROLES)
_SAMPLE = 10_000


@dataclass(frozen=True)
class EventColumns:
    """One part with its columns under canonical names.

    Args:
        part: File or frame.
        table: ``user``, ``item`` (int64 or text); as they are ``time``, ``event``, ``weight``, ``RAGGED``, ``LINE``.
        sample: First times, without nulls and words for missing ones; None without a time column.
        unit: Unit of numeric times; None where times are no numbers.
    """

    part: Part
    table: pl.LazyFrame
    sample: pl.Series | None
    unit: str | None


def event_columns(part: Part, source: TableSource, config: LogConfig) -> EventColumns:
    """Name the columns of one part.

    Raises:
        InputError: A column is missing or of a wrong type.
    """
    names = {role: getattr(config, role) for role in ("user", "item", "time", "event", "weight")}
    if source.is_lines and config.time not in part.columns():
        _check_no_times(source, config)
        names["time"] = None
    if config.list_separator is not None and part.table.collect_schema().get(config.item, pl.String) != pl.String:
        raise InputError(
            f"log.list_separator cuts text, but column {config.item!r} of {part.name} is none. Leave it out."
        )
    table = one_event_a_row(part.table, names.values(), config.item, config.list_separator)
    schema = table.collect_schema()
    columns = {}
    for role, name in names.items():
        if name is not None and name not in schema:
            raise _no_column(part, source, role, name)
        if name is not None:
            columns[role] = pl.col(name)
    for role in ("user", "item"):
        columns[role] = _ids(table, source, role, str(names[role]), config)
    for hidden in (RAGGED, LINE):
        if hidden in schema:
            columns[hidden] = pl.col(hidden)
    renamed = table.select(expr.alias(role) for role, expr in columns.items())
    sample = None if names["time"] is None else _time_sample(renamed, config)
    unit = None if sample is None else _unit(renamed.collect_schema()["time"], sample, config)
    return EventColumns(part, renamed, sample, unit)


def _check_no_times(source: TableSource, config: LogConfig) -> None:
    """Refuse settings of times for a format that has none."""
    for name in ("time", "time_unit", "time_format"):
        value, default = getattr(config, name), getattr(LogConfig, name)
        if value not in (None, default):
            raise InputError(f"log.{name} is {value!r}, but the format of {source.name} has no times. Leave it out.")


def _no_column(part: Part, source: TableSource, role: str, name: str) -> InputError:
    columns = part.columns()
    listed = ", ".join(repr(column) for column in columns[:20])
    hint = f" Pass {source.setting('log', 'time', None)} if the log has no times." if role == "time" else ""
    yours = source.setting("log", role, "NAME")
    separator = source.separator_hint(columns)
    return InputError(f"{part.name} has no column {name!r}; it has {listed}.{separator} Name yours with {yours}.{hint}")


def _ids(table: pl.LazyFrame, source: TableSource, role: str, name: str, config: LogConfig) -> pl.Expr:
    """Ids as int64, or as text where they are text, should be, or do not fit."""
    kind, column = table.collect_schema()[name], pl.col(name)
    if kind == pl.UInt64 and config.ids != "text" and (largest := _largest(source, table, name)) >= 2**63:
        if config.ids == "integer":
            as_text = source.setting("log", "ids", "text")
            raise InputError(f"column {name!r} holds {largest}; integer ids end at 2^63 - 1. Pass {as_text}.")
        return column.cast(pl.String)
    if kind.is_float():
        check_floats(table, name, role)
    if kind.is_integer() or kind.is_float():
        return text_ids(column, kind) if config.ids == "text" else integer_ids(column, kind)
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return present(column.cast(pl.String), config.missing)
    if kind == pl.Null:
        return column.cast(pl.String)
    raise InputError(f"column {name!r} of {role} ids is of type {kind}; ids are integers or text. Convert it first.")


def _largest(source: TableSource, table: pl.LazyFrame, name: str) -> int:
    try:
        return table.select(pl.col(name).max()).collect(engine="streaming").item() or 0
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.unreadable(error) from error


def _time_sample(table: pl.LazyFrame, config: LogConfig) -> pl.Series:
    sample = table.select("time").head(_SAMPLE)
    if table.collect_schema()["time"] == pl.String:
        sample = sample.select(present(pl.col("time"), config.missing))
    return sample.collect(engine="streaming")["time"].drop_nulls()


def _unit(kind: pl.DataType, sample: pl.Series, config: LogConfig) -> str | None:
    """Unit of a part's numeric times, by their size; None for datetimes and text dates."""
    if config.time_format is not None:
        if kind != pl.String and not kind.is_integer():
            raise InputError(
                f"log.time_format is {config.time_format!r}, but column {config.time!r} is of type {kind}. Leave "
                "it out."
            )
        return None
    is_text = kind == pl.String
    if not (kind.is_numeric() or is_text):
        return None
    numbers = sample.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    if is_text and len(numbers) < len(sample):
        n_dates = len(sample.rename("time").to_frame().select(text_dates(pl.col("time")))["time"].drop_nulls())
        if n_dates >= len(numbers):
            return None
    return guess_unit(numbers) if config.time_unit == "auto" else config.time_unit


def check_unit(parts: list[EventColumns], config: LogConfig) -> None:
    """Refuse a unit where no part has numeric times.

    Raises:
        InputError: ``time_unit`` has no effect.
    """
    if config.time_unit != "auto" and not any(part.unit for part in parts):
        kind = parts[0].table.collect_schema()["time"]
        holds = "dates as text" if kind == pl.String else "datetimes"
        raise InputError(
            f"log.time_unit is {config.time_unit!r}, but column {config.time!r} holds {holds}. Leave it out."
        )


def judged(columns: EventColumns, config: LogConfig, sampled: bool, drop_early: bool = False) -> pl.LazyFrame:
    """Parse times and weights; column ``bad`` says why a row is dropped.

    Args:
        columns: One part.
        config: Settings of the log.
        sampled: Text dates are in the styles of the first rows.
        drop_early: Times in January 1970 are bad.
    """
    table = columns.table
    schema = table.collect_schema()
    results = [pl.col("user"), pl.col("item")]
    faults = [(pl.col(RAGGED), RAGGED_ROW)] if RAGGED in schema else []
    faults += [(pl.col("user").is_null(), NO_USER), (pl.col("item").is_null(), NO_ITEM)]
    if "time" in schema:
        raw = present(pl.col("time"), config.missing) if schema["time"] == pl.String else pl.col("time")
        timestamp = _timestamp(raw, columns, config, sampled)
        faults += [(raw.is_null(), NO_TIME), (timestamp.is_null(), BAD_TIME)]
        if drop_early:
            faults.append((timestamp.abs() < JANUARY_1970, EARLY_TIME))
        results.append(timestamp.alias("time"))
    weight = pl.lit(1.0, pl.Float32)
    if "weight" in schema:
        weight = pl.col("weight").cast(pl.Float32, strict=False)
        faults.append((weight.is_null() | ~weight.is_finite(), BAD_WEIGHT))
    value = weight
    if "event" in schema:
        kind = pl.col("event").cast(pl.String).fill_null("")
        results.append(kind.alias("kind"))
        by_kind = _event_weight(kind, config)
        faults.append((by_kind == 0, OTHER_EVENT))
        weight = weight * by_kind
    if config.min_weight is not None:
        faults.append((value < config.min_weight, LOW_WEIGHT))
    if "weight" in schema:
        faults.append((value < 0, NEGATIVE))
    if "weight" in schema or config.events:
        results.append(weight.cast(pl.Float32).alias("weight"))
    bad = pl.lit(0, pl.UInt8)
    for fault, code in reversed(faults):
        bad = pl.when(fault).then(pl.lit(code, pl.UInt8)).otherwise(bad)
    line = [pl.col(LINE)] if LINE in schema else []
    return table.select(*results, bad.alias("bad"), *line)


def _event_weight(kind: pl.Expr, config: LogConfig) -> pl.Expr:
    if not config.events:
        return pl.lit(1.0, pl.Float32)
    other = 1.0 if config.other_events == "keep" else 0.0
    return kind.replace_strict(config.events, default=other, return_dtype=pl.Float32)


def _timestamp(raw: pl.Expr, columns: EventColumns, config: LogConfig, sampled: bool) -> pl.Expr:
    """Expression of the time column as int64 microseconds."""
    kind = columns.table.collect_schema()["time"]
    if config.time_format is not None:
        return with_format(raw, kind, config.time_format)
    if kind == pl.String and columns.unit is None:
        return text_dates(raw, columns.sample if sampled else None)
    return microseconds(raw, kind, columns.unit or "s")
