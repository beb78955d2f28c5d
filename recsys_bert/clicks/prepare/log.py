"""Any click log → one checked Arrow file with the columns user, item, time, weight, type."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.sources import TableSource
from recsys_bert.clicks.prepare.times import guess_unit, microseconds, text_dates
from recsys_bert.errors import InputError

# Reasons why a row is dropped; the first that holds is counted. 0 is a valid row.
NO_USER, NO_ITEM, NO_TIME, BAD_TIME, BAD_WEIGHT, OTHER_EVENT, LOW_WEIGHT = range(1, 8)
REASONS = {
    NO_USER: "no user",
    NO_ITEM: "no item",
    NO_TIME: "no time",
    BAD_TIME: "unreadable time",
    BAD_WEIGHT: "unreadable weight",
    OTHER_EVENT: "event type dropped",
    LOW_WEIGHT: "weight too low",
}
BAD = (NO_USER, NO_ITEM, NO_TIME, BAD_TIME, BAD_WEIGHT)
MOST_TYPES = 1_000
WHOLE = r"^(0|-?[1-9]\d{0,17})$"  # an integer that reads the same when written again


@dataclass(frozen=True)
class Log:
    """A checked log on disk.

    Args:
        path: Arrow file with all rows in their first order: ``user``, ``item`` (text or int64), ``time`` (int64
            microseconds, absent where the log has none), ``weight`` (float32, absent where all are 1), ``bad`` (why a
            row is dropped; 0 for a valid row).
        source: Table that was read.
        rows: Rows read.
        dropped: Dropped rows by reason.
        has_time: Whether there is a column ``time``.
        has_weight: Whether there is a column ``weight``.
        integer_ids: Whether text ids are all integers, by column.
        event_types: Rows by event type, if the log has one.
        types: Event types of the rows that are left, in the order of their codes, which begin at 2.
    """

    path: Path
    source: TableSource
    rows: int
    dropped: dict[str, int]
    has_time: bool
    has_weight: bool
    integer_ids: dict[str, bool]
    event_types: dict[str, int] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)

    def as_filter(self) -> dict[str, Any]:
        """Reading as the first filter of the manifest."""
        n_read = self.rows - sum(self.dropped.values())
        return {"filter": "read", "events_in": self.rows, "events_out": n_read, "reasons": self.dropped}

    def after_types(self, known: Sequence[str]) -> "Log":
        """Give ``known`` event types the first codes, in their order.

        Raises:
            InputError: There are some, and the log has no event types.
        """
        if known and not self.types:
            raise InputError(
                f"vocabulary.of has the event types {', '.join(known)}, which this log lacks. Name their column with "
                "log.event, or prepare without vocabulary.of."
            )
        return replace(self, types=[*known, *(name for name in self.types if name not in known)])

    def table(self) -> pl.LazyFrame:
        """Good rows, lazily, ids in their final type; the event type as its code in ``type``, if there are any."""
        good = pl.scan_ipc(self.path).filter(pl.col("bad") == 0)
        if self.types:
            codes = {name: code for code, name in enumerate(self.types, FIRST_VALUE)}
            good = good.with_columns(type=pl.col("kind").replace_strict(codes, default=0, return_dtype=pl.UInt16))
        good = good.drop("bad", "kind", strict=False)
        return good.with_columns(pl.col(name).cast(pl.Int64) for name, whole in self.integer_ids.items() if whole)


def read_log(source: TableSource, config: LogConfig, work: Path) -> Log:
    """Read, map and check the events, and write them to one Arrow file.

    Args:
        source: The events.
        config: Column names and how to read them.
        work: Folder for the file.

    Raises:
        InputError: Columns are missing, rows are bad, ids are mixed, or nothing is left.
    """
    table = source.scan()
    columns = _columns(source, config, table)
    path = work / "log.arrow"
    for sampled in (True, False):  # date styles of the first rows; should others come later, all styles
        try:
            canonical = _judged(table.select(**columns), config, sampled)
            canonical.sink_ipc(path, compression="lz4", engine="streaming")
        except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
            raise source.unreadable(error) from error
        if not pl.scan_ipc(path).select((pl.col("bad") == BAD_TIME).any()).collect().item():
            break
    return _checked(source, config, path)


def _columns(source: TableSource, config: LogConfig, table: pl.LazyFrame) -> dict[str, pl.Expr]:
    """Raw columns under canonical names.

    Raises:
        InputError: A column is missing or of a wrong type.
    """
    schema = table.collect_schema()
    names = {
        "user": config.user,
        "item": config.item,
        "time": config.time,
        "event": config.event,
        "weight": config.weight,
    }
    if source.is_lines and config.time not in schema:
        _check_no_times(source, config)
        names["time"] = None
    columns = {}
    for role, name in names.items():
        if name is None:
            continue
        if name not in schema:
            raise _no_column(source, role, name, list(schema.names()))
        columns[role] = pl.col(name)
    for role in ("user", "item"):
        name = str(names[role])
        if schema[name] == pl.UInt64 and config.ids != "text" and (largest := _largest(source, table, name)) >= 2**63:
            if config.ids == "integer":
                as_text = source.setting("log", "ids", "text")
                raise InputError(f"column {name!r} holds {largest}; integer ids end at 2^63 - 1. Pass {as_text}.")
            columns[role] = columns[role].cast(pl.String)
        else:
            columns[role] = _id(columns[role], schema[name], role, name, config)
    return columns


def _check_no_times(source: TableSource, config: LogConfig) -> None:
    """Refuse settings of times for a format that has none."""
    for name in ("time", "time_unit"):
        value, default = getattr(config, name), getattr(LogConfig, name)
        if value not in (None, default):
            raise InputError(f"log.{name} is {value!r}, but the format of {source.name} has no times. Leave it out.")


def _largest(source: TableSource, table: pl.LazyFrame, name: str) -> int:
    try:
        return table.select(pl.col(name).max()).collect(engine="streaming").item() or 0
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.unreadable(error) from error


def _no_column(source: TableSource, role: str, name: str, columns: list[str]) -> InputError:
    listed = ", ".join(repr(column) for column in columns[:20])
    hint = f" Pass {source.setting('log', 'time', None)} if the log has no times." if role == "time" else ""
    yours = source.setting("log", role, "NAME")
    return InputError(f"{source.name} has no column {name!r}; it has {listed}. Name yours with {yours}.{hint}")


def _id(column: pl.Expr, kind: pl.DataType, role: str, name: str, config: LogConfig) -> pl.Expr:
    if kind.is_integer():
        return column.cast(pl.String) if config.ids == "text" else column.cast(pl.Int64)
    if kind in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
        return pl.when(text != "").then(text)
    raise InputError(f"column {name!r} of {role} ids is of type {kind}; ids are integers or text. Convert it first.")


def _judged(table: pl.LazyFrame, config: LogConfig, sampled: bool) -> pl.LazyFrame:
    """Parse times and weights; column ``bad`` says why a row is dropped."""
    schema = table.collect_schema()
    columns = [pl.col("user"), pl.col("item")]
    faults = [(pl.col("user").is_null(), NO_USER), (pl.col("item").is_null(), NO_ITEM)]
    if "time" in schema:
        timestamp = _timestamp(table, schema["time"], config, sampled)
        missing = pl.col("time").is_null() | ((pl.col("time") == "") if schema["time"] == pl.String else pl.lit(False))
        faults += [(missing, NO_TIME), (timestamp.is_null(), BAD_TIME)]
        columns.append(timestamp.alias("time"))
    weight = pl.lit(1.0, pl.Float32)
    if "weight" in schema:
        weight = pl.col("weight").cast(pl.Float32, strict=False)
        faults.append((weight.is_null() | ~weight.is_finite() | (weight < 0), BAD_WEIGHT))
    if "event" in schema:
        kind = pl.col("event").cast(pl.String).fill_null("")
        columns.append(kind.alias("kind"))
        by_kind = _event_weight(kind, config)
        faults.append((by_kind == 0, OTHER_EVENT))
        weight = weight * by_kind
    if config.min_weight is not None:
        faults.append((pl.col("weight").cast(pl.Float32, strict=False) < config.min_weight, LOW_WEIGHT))
    if "weight" in schema or config.events:
        columns.append(weight.cast(pl.Float32).alias("weight"))
    bad = pl.lit(0, pl.UInt8)
    for fault, code in reversed(faults):
        bad = pl.when(fault).then(pl.lit(code, pl.UInt8)).otherwise(bad)
    return table.select(*columns, bad.alias("bad"))


def _event_weight(kind: pl.Expr, config: LogConfig) -> pl.Expr:
    if not config.events:
        return pl.lit(1.0, pl.Float32)
    other = 1.0 if config.other_events == "keep" else 0.0
    return kind.replace_strict(config.events, default=other, return_dtype=pl.Float32)


def _timestamp(table: pl.LazyFrame, kind: pl.DataType, config: LogConfig, sampled: bool) -> pl.Expr:
    """Expression of the time column; looks at the first rows to tell units and text apart."""
    column = pl.col("time")
    if not (kind.is_numeric() or kind == pl.String):
        _check_no_unit(config, "datetimes")
        return microseconds(column, kind, "s")
    sample = table.select(column).head(10_000).collect()["time"].drop_nulls()
    numbers = sample.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    if kind == pl.String and 2 * len(numbers) <= len(sample):
        _check_no_unit(config, "dates as text")
        return text_dates(column, sample if sampled else None)
    return microseconds(column, kind, guess_unit(numbers) if config.time_unit == "auto" else config.time_unit)


def _check_no_unit(config: LogConfig, kind: str) -> None:
    if config.time_unit != "auto":
        unit = config.time_unit
        raise InputError(f"log.time_unit is {unit!r}, but column {config.time!r} holds {kind}. Leave it out.")


def _checked(source: TableSource, config: LogConfig, path: Path) -> Log:
    """Count the rows; refuse a log that cannot be used."""
    table = pl.scan_ipc(path)
    columns = table.collect_schema().names()
    counts = dict(table.group_by("bad").len().collect(engine="streaming").iter_rows())
    rows = sum(counts.values())
    if not rows:
        raise InputError(f"{source.name} holds no events: the log is empty.")
    if config.bad_rows == "error":
        _refuse_bad_rows(source, config, table, counts)
    types, left = _types(source, config, table) if "kind" in columns else ({}, [])
    unnamed = sorted(set(types) - set(config.events)) if config.events and config.other_events == "error" else []
    if unnamed:
        drop = source.setting("log", "other_events", "drop")
        raise InputError(f"event types {unnamed} have no weight in log.events. Name them, or pass {drop}.")
    dropped = {REASONS[code]: counts[code] for code in sorted(counts) if code}
    if not counts.get(0):
        reasons = ", ".join(f"{reason}: {n:,}" for reason, n in dropped.items())
        raise InputError(
            f"none of the {rows:,} rows of {source.name} is left ({reasons}). Check the columns and log.events."
        )
    integers = _integer_ids(source, config, table)
    return Log(path, source, rows, dropped, "time" in columns, "weight" in columns, integers, types, left)


def _types(source: TableSource, config: LogConfig, table: pl.LazyFrame) -> tuple[dict[str, int], list[str]]:
    """Rows of every event type, and the named types among the good rows.

    Raises:
        InputError: There are more types than codes.
    """
    counted = table.group_by("kind").agg(pl.len(), good=(pl.col("bad") == 0).any()).sort("kind").collect()
    left = [name for name, good in counted.select("kind", "good").iter_rows() if good and name]
    if len(left) > MOST_TYPES:
        raise InputError(
            f"column {config.event!r} of {source.name} has {len(left):,} event types; {MOST_TYPES:,} is the most. Name "
            "the column of the type (click, view, purchase …)."
        )
    return dict(counted.select("kind", "len").iter_rows()), left


def _refuse_bad_rows(source: TableSource, config: LogConfig, table: pl.LazyFrame, counts: dict[int, int]) -> None:
    """Raise about the first bad row, if there is one."""
    n_bad = {code: counts[code] for code in BAD if counts.get(code)}
    if not n_bad:
        return
    rows = table.select("bad").with_row_index("row").filter(pl.col("bad").is_in(list(n_bad)))
    row, code = rows.head(1).collect(engine="streaming").row(0)
    raw = source.scan().slice(row, 1).collect().to_dicts()[0]
    role = {NO_USER: "user", NO_ITEM: "item", NO_TIME: "time", BAD_TIME: "time", BAD_WEIGHT: "weight"}[code]
    name: Any = getattr(config, role)
    reasons = ", ".join(f"{REASONS[reason]}: {n:,}" for reason, n in n_bad.items())
    raise InputError(
        f"{source.locate(row)}: {name} {raw.get(name)!r} ({REASONS[code]}); {sum(n_bad.values()):,} such rows in all "
        f"({reasons}). Fix them or pass {source.setting('log', 'bad_rows', 'drop')}."
    )


def _integer_ids(source: TableSource, config: LogConfig, table: pl.LazyFrame) -> dict[str, bool]:
    """By column, whether text ids are all integers.

    Raises:
        InputError: They are a mixture.
    """
    schema, raw = table.collect_schema(), source.scan().collect_schema()
    whole = {}
    for role in ("user", "item"):
        too_large = raw[getattr(config, role)].is_integer()  # and therefore text now
        if schema[role] != pl.String or config.ids == "text" or too_large:
            continue
        is_whole = pl.col(role).str.contains(WHOLE)
        good = table.filter(pl.col("bad") == 0)
        n, total = good.select(is_whole.sum(), pl.len().alias("all")).collect(engine="streaming").row(0)
        if 0 < n < total or (n == 0 and config.ids == "integer"):
            raise _mixed(source, role, getattr(config, role), good, is_whole, total - n)
        whole[role] = n > 0
    return whole


def _mixed(source: TableSource, role: str, name: str, good: pl.LazyFrame, is_whole: pl.Expr, n_text: int) -> InputError:
    text = good.filter(~is_whole).select(role).head(1).collect().item()
    whole = good.filter(is_whole).select(role).head(1).collect()
    beside = f" beside integers such as {whole.item()}" if len(whole) else ""
    return InputError(
        f"column {name!r} holds {n_text:,} {role} ids that are text, such as {text!r}{beside}."
        f" Correct them, or pass {source.setting('log', 'ids', 'text')} to take all of them as text."
    )
