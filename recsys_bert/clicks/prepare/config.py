"""What `prepare` can be told about a click log. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recsys_bert.errors import InputError

Format = Literal["auto", "parquet", "csv", "tsv", "jsonl", "arrow", "movielens", "recbole", "lines"]


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Where the events are and how their columns are called."""

    path: str = ""
    """A file, a folder (all files of one kind in it) or a glob such as ``logs/2024-*.parquet``. Always needed."""

    format: Format = "auto"
    """How files are read; ``auto`` goes by their ending (.dat MovieLens, .inter RecBole, .txt ``user item item …``)."""

    user: str = "user_id"
    """Column with the user's id."""

    item: str = "item_id"
    """Column with the item's id."""

    time: str | None = "timestamp"
    """Column with the moment: integers, ISO text or datetimes. None: the log's own order is the order in time."""

    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of numeric times since 1970; ``auto`` goes by their size."""

    event: str | None = None
    """Column with the event type (click, view, purchase …), if there is one."""

    events: dict[str, float] = field(default_factory=dict)
    """Weight per event type; 0 drops it. Empty: every type is kept with weight 1."""

    other_events: Literal["drop", "keep", "error"] = "drop"
    """What happens to event types that ``events`` does not name (where it names any); dropped ones are counted."""

    weight: str | None = None
    """Numeric column (a rating, seconds watched) that multiplies an event's weight."""

    min_weight: float | None = None
    """Events whose ``weight`` column is lower are dropped and counted."""

    ids: Literal["auto", "text", "integer"] = "auto"
    """Type of ids in text files; ``auto`` takes integers where all are, and refuses a mixture of both. A column of
    unsigned integers of which some do not fit into int64 becomes text."""

    bad_rows: Literal["error", "drop"] = "error"
    """Rows without a user, an item or a readable time: stop with the first of them, or drop and count them."""

    def __post_init__(self) -> None:
        if self.event is None and self.events:
            raise InputError(
                "log.events gives weights by event type, but log.event does not name the column of the type."
            )
        if self.weight is None and self.min_weight is not None:
            raise InputError(f"log.min_weight is {self.min_weight}, but log.weight names no column.")
        negative = {name: weight for name, weight in self.events.items() if not weight >= 0}
        if negative:
            raise InputError(f"log.events has weights below 0: {negative}. Use 0 to drop a type.")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Which events stay in the log.

    Leave-one-out counts the whole log, as published data sets were made; a time cut counts and drops training events
    only.
    """

    repeats: Literal["keep", "drop"] = "keep"
    """Consecutive events of one user on one item: keep all, or only the first. Done before anything is counted."""

    min_user_events: int = 1
    """Users with fewer events are dropped."""

    min_item_events: int = 1
    """Events on items with fewer events are dropped; see ``vocabulary.min_count`` to call them unknown instead."""

    k_core: bool = True
    """Repeat both minimum counts until nothing changes; otherwise users and items are counted once."""

    def __post_init__(self) -> None:
        if min(self.min_user_events, self.min_item_events) < 1:
            raise InputError(
                "filters.min_user_events and filters.min_item_events are counts of at least 1 (1 drops nothing)."
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """What is held out."""

    kind: Literal["leave_one_out", "time", "none"] = "leave_one_out"
    """The last events of each user (as in papers), one moment for everybody (no look into the future), or nothing."""

    validation: bool = True
    """False is *refit*: what validation would hold out goes into training."""

    validation_from: float | str = 0.8
    """Time cut: quantile of all events' times in (0, 1), or an ISO date (UTC), from which on events are validation."""

    test_from: float | str = 0.9
    """Time cut: the same, from which on events are test."""

    min_events: int = 3
    """Leave-one-out: users with fewer events are used for training only."""

    def __post_init__(self) -> None:
        for name in ("validation_from", "test_from"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not 0 < value < 1:
                raise InputError(
                    f"split.{name} is {value}; a quantile lies between 0 and 1. A date is written '2024-05-01'."
                )
        read = {"leave_one_out": {"min_events"}, "time": {"validation_from", "test_from"}, "none": set()}[self.kind]
        for name in ("min_events", "validation_from", "test_from"):
            if name not in read and getattr(self, name) != getattr(SplitConfig, name):
                raise InputError(
                    f"split.{name} is {getattr(self, name)}, which split.kind {self.kind!r} does not read. Leave it "
                    "out, or choose another kind."
                )
        if self.min_events < 3:
            raise InputError(
                f"split.min_events is {self.min_events}; one event each to train on, validate and test are 3."
            )


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """Which items get a row of their own."""

    min_count: int = 1
    """Items with fewer training events share the unknown rows."""

    unknown_rows: int = 1
    """Unknown items are spread over this many rows by a hash of their id."""

    def __post_init__(self) -> None:
        if min(self.min_count, self.unknown_rows) < 1:
            raise InputError("vocabulary.min_count and vocabulary.unknown_rows are at least 1.")


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """A side table of items or of users."""

    path: Path | None = None
    """Parquet, CSV/TSV, JSON lines, Arrow, MovieLens .dat, RecBole .item/.user, or one JSON object id → value(s)."""

    id: str | None = None
    """Column with the id; by default the log's column, or else the table's first."""

    categorical: tuple[str, ...] = ()
    """Columns with one value each that become features."""

    multi: tuple[str, ...] = ()
    """Columns with several values each that become features; lists, or text cut at ``separator``."""

    separator: str = "|"
    """Cuts the text of ``multi`` columns."""

    max_values: int = 16
    """Values kept of one multi-valued entry; how many entries had more is counted."""

    def __post_init__(self) -> None:
        names = self.categorical + self.multi
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{', '.join(double)} is named twice among a side table's features; name it once.")
