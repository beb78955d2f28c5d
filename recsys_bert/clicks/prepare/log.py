"""Any click log → one checked Arrow file with the columns user, item, time, weight, type."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.prepare.config import LogConfig
from recsys_bert.clicks.prepare.event_columns import (
    BAD,
    BAD_TIME,
    EARLY_TIME,
    REASONS,
    ROLES,
    EventColumns,
    check_unit,
    event_columns,
    judged,
)
from recsys_bert.clicks.prepare.id_types import settle_ids
from recsys_bert.clicks.prepare.ids import POINT_ZERO
from recsys_bert.clicks.prepare.marks import LINE
from recsys_bert.clicks.prepare.sources import Part, TableSource
from recsys_bert.clicks.prepare.times import FIRST_LATE, JANUARY_1970, as_date, check_format
from recsys_bert.errors import InputError

MOST_TYPES = 1_000


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
        time_units: Files by unit of their times; ``dates`` for those that are no numbers.
        point_zero: Columns of text ids that are whole numbers, some of them maybe with ``.0``, which goes.
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
    time_units: dict[str, int] = field(default_factory=dict)
    point_zero: list[str] = field(default_factory=list)

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
        good = pl.scan_ipc(self.path, glob=False).filter(pl.col("bad") == 0)
        if self.types and "kind" in good.collect_schema():
            codes = {name: code for code, name in enumerate(self.types, FIRST_VALUE)}
            good = good.with_columns(type=pl.col("kind").replace_strict(codes, default=0, return_dtype=pl.UInt16))
        good = good.drop("bad", "kind", strict=False)
        whole = [name for name, is_whole in self.integer_ids.items() if is_whole]
        good = good.with_columns(pl.col(name).str.replace(POINT_ZERO, "") for name in self.point_zero)
        return good.with_columns(pl.col(name).cast(pl.Int64) for name in whole)


def read_log(source: TableSource, config: LogConfig, work: Path) -> Log:
    """Read, map and check the events, and write them to one Arrow file.

    Args:
        source: The events.
        config: Column names and how to read them.
        work: Folder for the file.

    Raises:
        InputError: Columns are missing, rows are bad, ids are mixed, or nothing is left.
    """
    if config.time_format is not None:
        check_format(config.time_format)
    path = work / "log.arrow"
    try:
        parts = [event_columns(part, source, config) for part in source.parts()]
        check_unit(parts, config)
        counts = _write(parts, config, path)
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise source.unreadable(error) from error
    return _checked(source, config, parts, path, counts)


def _write(parts: list[EventColumns], config: LogConfig, path: Path) -> pl.DataFrame:
    """Write the events of all parts; return their counts by reason, with the numbers of early and late times."""
    counts = _sink(parts, config, path)
    sampled = True  # text dates in the styles of the first rows; should others come later, in all styles
    if (counts["bad"] == BAD_TIME).any() and any(part.sample is not None and part.unit is None for part in parts):
        sampled, counts = False, _sink(parts, config, path, sampled=False)
    return _sink(parts, config, path, sampled, drop_early=True) if _has_early(counts) else counts


def _sink(
    parts: list[EventColumns], config: LogConfig, path: Path, sampled: bool = True, drop_early: bool = False
) -> pl.DataFrame:
    tables = _same_types([judged(part, config, sampled, drop_early).drop(LINE, strict=False) for part in parts])
    pl.concat(tables).sink_ipc(path, compression="lz4", engine="streaming")
    table = pl.scan_ipc(path, glob=False)
    columns = [pl.len()]
    if "time" in table.collect_schema():
        time = pl.col("time")
        columns += [
            (time.abs() < JANUARY_1970).sum().alias("early"),
            time.is_between(JANUARY_1970, FIRST_LATE, closed="left").sum().alias("between"),
            time.filter(time >= FIRST_LATE).min().alias("first_late"),
            time.max().alias("last"),
        ]
    return table.group_by("bad").agg(columns).collect(engine="streaming")


def _same_types(tables: list[pl.LazyFrame]) -> list[pl.LazyFrame]:
    """Ids of one type: int64 if all parts have integers, else text."""
    for name in ("user", "item"):
        if len({table.collect_schema()[name] for table in tables}) > 1:
            tables = [table.with_columns(pl.col(name).cast(pl.String)) for table in tables]
    return tables


def _has_early(counts: pl.DataFrame) -> bool:
    """True if times lie in January 1970 and all others years later: another unit, or 0 for no time."""
    good = counts.filter(pl.col("bad") == 0)
    if "early" not in good.columns or not len(good):
        return False
    row = good.row(0, named=True)
    return bool(row["early"] and row["first_late"] is not None and not row["between"])


def _checked(
    source: TableSource, config: LogConfig, parts: list[EventColumns], path: Path, counted: pl.DataFrame
) -> Log:
    """Refuse a log that cannot be used."""
    table = pl.scan_ipc(path, glob=False)
    columns = table.collect_schema().names()
    counts: dict[int, int] = dict(counted.select("bad", "len").iter_rows())
    rows = sum(counts.values())
    if not rows:
        raise InputError(f"{source.name} holds no events: the log is empty.")
    if config.bad_rows == "error":
        _refuse_bad_rows(source, config, parts, counted)
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
    integers, point_zero = settle_ids(source, config, table)
    units: dict[str, int] = {}
    for part in parts if "time" in columns else []:
        units[part.unit or "dates"] = units.get(part.unit or "dates", 0) + 1
    return Log(
        path, source, rows, dropped, "time" in columns, "weight" in columns, integers, types, left, units, point_zero
    )


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


def _refuse_bad_rows(source: TableSource, config: LogConfig, parts: list[EventColumns], counted: pl.DataFrame) -> None:
    """Raise about the first bad row, if there is one."""
    counts = dict(counted.select("bad", "len").iter_rows())
    n_bad = {code: counts[code] for code in BAD if counts.get(code)}
    if not n_bad:
        return
    drop = source.setting("log", "bad_rows", "drop")
    if early := n_bad.get(EARLY_TIME):
        good = counted.filter(pl.col("bad") == 0).row(0, named=True)
        first, last = as_date(good["first_late"]), as_date(good["last"])
        raise InputError(
            f"{early:,} of {early + good['len']:,} events lie in January 1970, the others from {first} to {last}: part "
            f"of {source.name} has another unit of time, or 0 stands for no time. Correct them, or pass {drop} to "
            "leave them out."
        )
    reasons = ", ".join(f"{REASONS[reason]}: {n:,}" for reason, n in n_bad.items())
    place, code, value = _first_bad_row(source, config, parts)
    hint = ""
    if code == BAD_TIME and config.time_format is None:
        hint = f" Dates of another form need {source.setting('log', 'time_format', 'PATTERN')}, as in '%d.%m.%Y %H:%M'."
    raise InputError(
        f"{place}: {value} ({REASONS[code]}); {sum(n_bad.values()):,} such rows in all ({reasons}). Fix them or pass "
        f"{drop}.{hint}"
    )


def _first_bad_row(source: TableSource, config: LogConfig, parts: list[EventColumns]) -> tuple[str, int, str]:
    """Position, reason and cell of the first bad row."""
    for part in (one.part for one in parts):
        numbered = Part(part.name, part.numbered())
        rows = judged(event_columns(numbered, source, config), config, sampled=False)
        first = rows.filter(pl.col("bad").is_in(BAD)).select(LINE, "bad").head(1).collect(engine="streaming")
        if not len(first):
            continue
        line, code = first.row(0)
        raw = numbered.table.filter(pl.col(LINE) == line).head(1).collect().to_dicts()[0]
        name = str(getattr(config, ROLES[code])) if code in ROLES else ""
        value = raw.get(name, raw.get(name.partition(".")[0]))
        cell = f"{name} {value!r}" if name else f"{len(part.columns())} columns are expected"
        return part.locate(line), code, cell
    raise AssertionError("a bad row was counted and not seen again")
