"""Settings of preparing a click log. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError

PARTS = ("train", "validation", "test")
"""Parts of a split of one's own, and the settings of ``LogConfig`` that name their files."""


@dataclass(frozen=True, kw_only=True)
class LogConfig(TableConfig):
    """Columns of the events and how they are read."""

    preset: str | None = None
    """A public log as published: u.data, movielens-csv, movielens-dat, amazon-2014-csv, amazon-2018-csv,
    amazon-2023-csv, amazon-json, amazon-2023-json, yelp, book-crossing, lastfm-1k, lastfm-hetrec, gowalla, taobao,
    yoochoose, yoochoose-buys, diginetica, mind, otto, online-retail-ii, recbole or lines. It sets those settings of
    this group that are at their defaults."""

    user: str = "user_id"
    """Column with the user's id."""

    item: str = "item_id"
    """Column with the item's id."""

    time: str | None = "timestamp"
    """Column with the timestamp: integers, ISO text or datetimes. None: events are in the order of time already."""

    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    """Unit of numeric times since 1970; ``auto`` goes by their size, file by file."""

    time_format: str | None = None
    """Pattern of text times as in ``strptime``: ``%d.%m.%Y %H:%M``. None: numbers and ISO text."""

    list_separator: str | None = None
    """Cuts the text of the item column into the items of a user, and other columns with as many values. Lists, and text
    in brackets, need none."""

    event: str | None = None
    """Column with the event type (click, view, purchase …), if any."""

    events: dict[str, float] = field(default_factory=dict)
    """Weight per event type; 0 drops it. Empty: every type is kept with weight 1."""

    other_events: Literal["drop", "keep", "error"] = "drop"
    """Treatment of event types that ``events`` does not name, if it names any; dropped ones are counted."""

    weight: str | None = None
    """Numeric column (a rating, seconds watched) that multiplies an event's weight."""

    min_weight: float | None = None
    """Events whose ``weight`` column is lower are dropped and counted."""

    ids: Literal["auto", "text", "integer"] = "auto"
    """Type of ids in text files; ``auto`` gives integers if all are, and refuses a mixture of both. A column of
    unsigned integers of which some do not fit into int64 becomes text. Whole floats (``12.0``) are integers."""

    train: str | None = None
    """Training events of a split of one's own: a file, folder or glob in place of ``events``; a frame from Python. With
    ``test`` or ``validation``."""

    validation: str | None = None
    """Validation events of a split of one's own."""

    test: str | None = None
    """Test events of a split of one's own. Events that training has as well are dropped there, and counted."""

    session_minutes: float | None = None
    """Split histories into sessions where nothing happened for longer than so many minutes; each becomes a user of its
    own, ``user@start``. None: users stay whole."""

    bad_rows: Literal["error", "drop"] = "error"
    """Rows of too few or too many cells, or without a user, an item or a readable time: an error for the first, or drop
    and count them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.event is None and self.events:
            raise InputError(
                "log.events gives weights by event type, but log.event does not name the column of the type."
            )
        if not self.events and self.other_events != "drop":
            raise InputError(
                f"log.other_events is {self.other_events!r}, but log.events names no event types: it has no effect. "
                "Leave it out."
            )
        if self.time is None and self.time_unit != "auto":
            raise InputError(f"log.time_unit is {self.time_unit!r}, but log.time names no column. Leave it out.")
        if self.time_format is not None and (self.time is None or self.time_unit != "auto"):
            other = "log.time names no column" if self.time is None else "log.time_unit is of numbers"
            raise InputError(f"log.time_format is {self.time_format!r}, but {other}. Leave one out.")
        if self.list_separator == "":
            raise InputError(
                "log.list_separator is empty, which would cut a text into its letters. Name one, such as ' '."
            )
        if self.weight is None and self.min_weight is not None:
            raise InputError(f"log.min_weight is {self.min_weight}, but log.weight names no column.")
        if self.session_minutes is not None and not (self.session_minutes > 0 and self.time is not None):
            reason = "log.time names no column" if self.time is None else "it must be above 0"
            raise InputError(f"log.session_minutes is {self.session_minutes}, but {reason}.")
        negative = {name: weight for name, weight in self.events.items() if not weight >= 0}
        if negative:
            raise InputError(f"log.events has weights below 0: {negative}. Use 0 to drop a type.")


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Filters of events.

    Leave-one-out counts all events, as published data sets do; a time cut counts and drops training events only.
    """

    repeats: Literal["keep", "consecutive", "first", "last"] = "keep"
    """Events of one user on one item, of one type if there are types: keep all; drop those right after another one;
    keep the first, or the last, of all. Applied before any count. last drops no training event for a held-out one of a
    time cut or an own split, but with leave_one_out it does."""

    repeats_within: float | None = None
    """Seconds: only events within so many of the user's previous event (last: of the next one) on the item are repeats.
    None: however far apart."""

    min_user_events: int = 1
    """Users with fewer events are dropped."""

    min_item_events: int = 1
    """Events on items with fewer events are dropped; see ``vocabulary.min_count`` to call them unknown instead."""

    k_core: bool = True
    """Repeat both minimum counts until nothing changes; otherwise users and items are counted once."""

    def __post_init__(self) -> None:
        if self.repeats_within is not None and (self.repeats == "keep" or not self.repeats_within >= 0):
            reason = "filters.repeats keeps all" if self.repeats == "keep" else "it must be 0 or more seconds"
            raise InputError(f"filters.repeats_within is {self.repeats_within}, but {reason}.")
        if min(self.min_user_events, self.min_item_events) < 1:
            raise InputError(
                "filters.min_user_events and filters.min_item_events are counts of at least 1 (1 drops nothing)."
            )
        if not self.k_core and min(self.min_user_events, self.min_item_events) == 1:
            raise InputError(
                "filters.k_core repeats two counts; without both filters.min_user_events and filters.min_item_events "
                "above 1 it has no effect. Leave it out."
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Events held out for validation and test."""

    kind: Literal["leave_one_out", "time", "own", "none"] = "leave_one_out"
    """The last events of each user (as in papers), one timestamp for all users (no leak from the future), the files
    log.train, log.validation and log.test (own, which they imply), or none."""

    validation: bool = True
    """False is *refit*: validation events are used for training."""

    validation_from: float | str = 0.8
    """Time cut: validation starts at this quantile of all events' times, in (0, 1), or at this ISO date (UTC)."""

    test_from: float | str = 0.9
    """Time cut: start of test, in the same form."""

    test_until: float | str | None = None
    """Time cut: end of test, in the same form; later events are dropped and counted. None: the end of the log."""

    target_types: tuple[str, ...] = ()
    """Leave-one-out: hold out the user's last events of these types, as purchase, and what comes after them; events of
    other types before them are trained on. Empty: the last events of any type. For the same setting in training and
    evaluation."""

    min_events: int = 3
    """Leave-one-out: users with fewer events are used for training only."""

    hold_out_items: float = 0.0
    """Share of the items whose training events are dropped, in [0, 1): never seen, as new items are, they stay in the
    catalogue by the table of items, and their held-out events stay targets. To measure cold items."""

    seed: int = 0
    """Of the draw of these items."""

    def __post_init__(self) -> None:
        self._check_held_out_items()
        for name in ("validation_from", "test_from", "test_until"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not 0 < value < 1:
                raise InputError(
                    f"split.{name} is {value}; a quantile lies between 0 and 1. A date is written '2024-05-01'."
                )
        if self.kind == "time" and not self.validation and self.validation_from != SplitConfig.validation_from:
            raise InputError(
                f"split.validation_from is {self.validation_from}, but split.validation is off: training ends where "
                "test starts. Leave it out."
            )
        read = {
            "leave_one_out": {"validation", "min_events", "target_types"},
            "time": {"validation", "validation_from", "test_from", "test_until"},
            "own": {"validation"},
            "none": set(),
        }[self.kind]
        for name in ("validation", "min_events", "target_types", "validation_from", "test_from", "test_until"):
            if name not in read and getattr(self, name) != getattr(SplitConfig, name):
                raise InputError(
                    f"split.{name} is {getattr(self, name)}, which split.kind {self.kind!r} does not read. Leave it "
                    "out, or choose another kind."
                )
        if self.min_events < 3:
            raise InputError(
                f"split.min_events is {self.min_events}; one event each to train on, validate and test are 3."
            )

    def _check_held_out_items(self) -> None:
        if not 0 <= self.hold_out_items < 1:
            raise InputError(f"split.hold_out_items is {self.hold_out_items}; it must lie in [0, 1).")
        if self.hold_out_items and self.kind == "none":
            raise InputError("split.hold_out_items has no effect with split.kind 'none', which holds out no events.")
        if self.seed < 0 or (self.seed and not self.hold_out_items):
            raise InputError(
                f"split.seed is {self.seed}; it is at least 0, and only split.hold_out_items draws by it. Leave it out."
            )


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """Items that get an embedding row each."""

    min_count: int = 1
    """Items with fewer training events share the unknown rows."""

    unknown_rows: int = 1
    """Unknown items are spread over this many rows by a hash of their id."""

    of: Path | None = None
    """Prepared folder (or run) of an earlier log whose items, users and feature values keep their rows; those of this
    log that are new come after them. A run knows items and values, not users. Its unknown_rows are taken over."""

    def __post_init__(self) -> None:
        if min(self.min_count, self.unknown_rows) < 1:
            raise InputError("vocabulary.min_count and vocabulary.unknown_rows are at least 1.")
        if self.of is not None and self.unknown_rows != 1:
            raise InputError(f"vocabulary.unknown_rows comes from vocabulary.of {self.of}; leave it out.")
