"""Append a log to a prepared folder: the events of both as arrays, without reading the old log again."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.histories import Histories, ranges
from recsys_bert.clicks.manifest import UNKNOWN_EVENTS
from recsys_bert.clicks.prepare.config import FilterConfig, LogConfig, SplitConfig, VocabularyConfig
from recsys_bert.clicks.prepare.events import Events, EventWriter, chunks
from recsys_bert.clicks.prepare.ids import index_in
from recsys_bert.clicks.prepare.side_tables import SideTable
from recsys_bert.clicks.prepare.side_writer import OWN_COLUMNS, own_name
from recsys_bert.clicks.prepare.sorting import stable_order
from recsys_bert.clicks.prepare.times import PER_SECOND
from recsys_bert.clicks.prepare.writer import LogRecord
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress

Ints = NDArray[np.int64]
FILTERS = {"repeats": ("consecutive",)}
"""Values of filters, beside the defaults, with which later events can be appended."""

SPLITS = ("leave_one_out", "time", "none")
"""Splits that move on with the log."""


def check_can_append(
    filters: FilterConfig, split: SplitConfig, vocabulary: VocabularyConfig, log: LogConfig, dataset: ClickDataset
) -> None:
    """Refuse settings whose result depends on events that the folder does not keep, and those that are not known here.

    Raises:
        InputError: One is set, or the folder was written by an older version.
    """
    again = "Prepare all events again, with --vocabulary.of."
    for name, default in vars(FilterConfig()).items():
        if (value := getattr(filters, name)) not in (default, *FILTERS.get(name, ())):
            raise InputError(
                f"{dataset.folder} was prepared with filters.{name} {value}: what was dropped then might stay now. "
                f"{again}"
            )
    for name, value, lost in (
        ("log.session_minutes", log.session_minutes, "a session may go on today"),
        ("split.test_until", split.test_until, "what came after the test was dropped"),
        ("split.hold_out_items", split.hold_out_items or None, "training events of these items were dropped"),
    ):
        if value is not None:
            raise InputError(f"{dataset.folder} was prepared with {name} {value}: {lost}. {again}")
    if split.kind not in SPLITS:
        raise InputError(
            f"{dataset.folder} was prepared with split.kind {split.kind!r}; append goes with {', '.join(SPLITS)}. "
            f"{again}"
        )
    if vocabulary.min_count > 1 and dataset.manifest.side_tables.get("items"):
        raise InputError(
            f"{dataset.folder} was prepared with vocabulary.min_count {vocabulary.min_count} and a table of items, "
            "whose rows for items below it are not kept. Prepare all events again, with --vocabulary.of."
        )
    if not (dataset.folder / UNKNOWN_EVENTS).is_file():
        raise InputError(f"{dataset.folder} has no {UNKNOWN_EVENTS}: an older version wrote it. Prepare it again.")


@dataclass(frozen=True)
class Appended:
    """Events of a prepared folder and of a log, together.

    Args:
        events: Users of the folder in the order of their rows, then new ones by their ids.
        late: Events of the log that are older than the user's last one in the folder.
    """

    events: Events
    late: int


def appended_events(dataset: ClickDataset, new: Events, work: Path) -> Appended:
    """Put the events of a log behind those of a folder, user by user, in the order of their times.

    The folder keeps whole seconds; events within one second stay in the order folder, log.

    Args:
        dataset: The prepared folder.
        new: Sorted events of the log, ids of the folder's type.
        work: Folder for the arrays.

    Raises:
        InputError: The folder does not fit its ``unknown_events.parquet``.
    """
    merge = _Merge.of(dataset, new)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(merge.n_old + merge.n_new)])
    writer, late = EventWriter(work, "appended", merge.columns), 0
    with Progress("appending", int(offsets[-1]), "events") as progress:
        for users, _ in chunks(offsets):
            columns, n_late = merge.chunk(users)
            writer.append(columns)
            late += n_late
            progress.advance(len(columns["items"]))
    events = replace(
        writer.events(),
        offsets=offsets,
        user_ids=merge.user_ids,
        item_ids=merge.item_ids,
        type_names=new.type_names,
    )
    return Appended(events, late)


@dataclass(frozen=True)
class _Merge:
    """Events of a folder and of a log under common codes of items, and the events of each user in both.

    Args:
        histories: Of the folder.
        new: Of the log.
        item_ids: All ids, sorted; a code is an index in them.
        code_of_row: Code of each row of the folder.
        code_of_new: Code of each code of the log.
        unknown: Positions in the histories whose items have no row, and the codes of those.
        user_ids: All users.
        start_old: First event of each in the histories.
        n_old: Number of those.
        start_new: First event of each in the log.
        n_new: Number of those.
    """

    histories: Histories
    new: Events
    item_ids: pl.Series
    code_of_row: NDArray[np.int32]
    code_of_new: NDArray[np.int32]
    unknown: tuple[Ints, NDArray[np.int32]]
    user_ids: pl.Series
    start_old: Ints
    n_old: Ints
    start_new: Ints
    n_new: Ints

    @staticmethod
    def of(dataset: ClickDataset, new: Events) -> "_Merge":
        """Join items and users of both by their ids."""
        unknown, known_ids, old_users = _unknown_events(dataset), dataset.items["item_id"], dataset.user_ids
        item_ids = pl.concat([known_ids, unknown["item_id"], new.item_ids]).unique().sort().rename("item_id")
        code_of_row = np.full(dataset.n_rows, -1, np.int32)
        code_of_row[dataset.vocabulary.first_item :] = _codes(known_ids, item_ids)
        others = new.user_ids.filter(~new.user_ids.is_in(old_users.implode()))
        user_ids = pl.concat([old_users, others.rename(old_users.name)])
        start_old, n_old = _padded(dataset.histories.offsets, len(user_ids))
        start_new, n_new = _padded(new.offsets, len(new.user_ids) + 1)  # the last one stands for users without events
        row = _codes(user_ids, new.user_ids, missing=len(new.user_ids))
        return _Merge(
            histories=dataset.histories,
            new=new,
            item_ids=item_ids,
            code_of_row=code_of_row,
            code_of_new=_codes(new.item_ids, item_ids),
            unknown=(unknown["event"].to_numpy(), _codes(unknown["item_id"], item_ids)),
            user_ids=user_ids,
            start_old=start_old,
            n_old=n_old,
            start_new=start_new[row],
            n_new=n_new[row],
        )

    @property
    def columns(self) -> list[str]:
        """Names of the arrays."""
        has = {"times": self.new.times, "weights": self.histories.weights, "types": self.histories.event_types}
        return ["items", *(name for name, values in has.items() if values is not None)]

    def chunk(self, users: slice) -> tuple[dict[str, NDArray[Any]], int]:
        """Arrays of some users' events in order, and the number of late ones."""
        n_old, n_new = self.n_old[users], self.n_new[users]
        old, new = ranges(self.start_old[users], n_old), ranges(self.start_new[users], n_new)
        items = np.concatenate([self._old_codes(old), self.code_of_new[self.new.items[new]]])
        owner = np.concatenate([np.repeat(np.arange(len(n)), n) for n in (n_old, n_new)])
        columns: dict[str, NDArray[Any]] = {"items": items}
        keys, late = [owner], 0
        if self.new.times is not None:
            seconds, before = self.new.times[new] // PER_SECOND, self.histories.times[old]
            columns["times"] = np.concatenate([before, seconds]) * PER_SECOND
            keys, late = [columns["times"], owner], _n_late(before, n_old, seconds, n_new)
        if self.histories.weights is not None:
            added = np.ones(len(new), np.float32) if self.new.weights is None else self.new.weights[new]
            columns["weights"] = np.concatenate([self.histories.weights[old], added])
        if self.histories.event_types is not None:
            types = np.zeros(len(new), np.uint16) if self.new.types is None else self.new.types[new]
            columns["types"] = np.concatenate([self.histories.event_types[old], types])
        order = stable_order(keys)
        return {name: values[order] for name, values in columns.items()}, late

    def _old_codes(self, old: Ints) -> NDArray[np.int32]:
        """Codes of consecutive events of the folder."""
        codes = self.code_of_row[self.histories.items[old]]
        if len(old):
            at, unknown = self.unknown
            low, high = np.searchsorted(at, [old[0], old[-1] + 1])
            codes[at[low:high] - old[0]] = unknown[low:high]
        return codes


def _unknown_events(dataset: ClickDataset) -> pl.DataFrame:
    """Events on items without a row: position and id."""
    path = dataset.folder / UNKNOWN_EVENTS
    try:
        unknown = pl.read_parquet(path, glob=False)
        n = len(unknown["event"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} cannot be read: {error}. Run prepare again.") from error
    if n != int((dataset.histories.items < dataset.vocabulary.first_item).sum()):
        raise InputError(f"{path} does not fit histories.arrow: it has {n:,} events. Run prepare again.")
    return unknown


def _codes(ids: pl.Series, table: pl.Series, missing: int = -1) -> NDArray[np.int32]:
    """Index of each id in ``table``."""
    return index_in(ids, table).fill_null(missing).to_numpy().astype(np.int32)


def _padded(offsets: Ints, n: int) -> tuple[Ints, Ints]:
    """Start and number of events of ``n`` users, of whom those after the last one of ``offsets`` have none."""
    start, lengths = np.zeros(n, np.int64), np.zeros(n, np.int64)
    start[: len(offsets) - 1], lengths[: len(offsets) - 1] = offsets[:-1], np.diff(offsets)
    return start, lengths


def _n_late(old: Ints, n_old: Ints, new: Ints, n_new: Ints) -> int:
    """New events that are older than the last old one of the same user."""
    last = np.full(len(n_old), np.iinfo(np.int64).min)
    has_old = n_old > 0
    last[has_old] = old[np.cumsum(n_old)[has_old] - 1]
    return int((new < np.repeat(last, n_new)).sum())


def side_table_with(dataset: ClickDataset, role: str, new: SideTable | None) -> SideTable | None:
    """Side table of a folder, below the rows of a new one, which win; vectors are not in it.

    Args:
        dataset: The prepared folder.
        role: ``items`` or ``users``.
        new: Table that came with the log.
    """
    counts = dataset.manifest.side_tables.get(role)
    if counts is None:
        return new
    table, reserved = dataset.items if role == "items" else dataset.users, OWN_COLUMNS[role]
    columns = {name: own_name(name, reserved) for name in table.columns if name not in reserved}
    stored = table.select(columns.keys()).rename(columns)
    ids = table[f"{role.removesuffix('s')}_id"]
    has_row = ~stored.select(pl.all_horizontal(pl.all().is_null())).to_series() if columns else ids.is_not_null()
    if role == "items":
        has_row |= table["item_row"] >= dataset.vocabulary.size  # cold items are there by the side table alone
    missing = tuple(dataset.manifest.config[f"{role.removesuffix('s')}_table"]["missing"])
    old = SideTable(ids.filter(has_row), stored.filter(has_row), counts, role, missing)
    if new is None:
        return old
    rest = ~old.ids.is_in(new.ids.implode())
    table = pl.concat([new.table, old.table.filter(rest)], how="diagonal_relaxed")
    total = {name: n + counts.get(name, 0) for name, n in new.counts.items()}
    return SideTable(pl.concat([new.ids, old.ids.filter(rest).rename(new.ids.name)]), table, total, role, missing)


def summed_record(dataset: ClickDataset, record: LogRecord) -> LogRecord:
    """Record of a folder's log and of the one that is appended, filter by filter.

    Args:
        dataset: The prepared folder.
        record: Of the appended log, whose filters saw the events of both.
    """
    old, n_read = dataset.manifest, record.filters[0]["events_in"]
    filters = []
    for before, after in zip(old.filters, record.filters, strict=True):
        reasons = dict.fromkeys([*before["reasons"], *after["reasons"]], 0)
        reasons = {name: before["reasons"].get(name, 0) + after["reasons"].get(name, 0) for name in reasons}
        dropped = sum(after["reasons"].values())
        entry = {**before, **after, "reasons": reasons, "events_in": before["events_in"] + n_read}
        n_read -= dropped
        entry["events_out"] = before["events_out"] + n_read
        filters.append(entry)
    types = dict.fromkeys([*old.log["event_types"], *record.about["event_types"]], 0)
    parts = (old.log, record.about)
    units = dict.fromkeys([*old.log["time_units"], *record.about["time_units"]])
    about = {
        "rows": sum(part["rows"] for part in parts),
        "event_types": {name: sum(part["event_types"].get(name, 0) for part in parts) for name in types},
        "time_units": {name: sum(part["time_units"].get(name, 0) for part in parts) for name in units},
        "sha256": hashlib.sha256(" ".join(part["sha256"] for part in parts).encode()).hexdigest(),
        "files": [*old.log["files"], *record.about["files"]],
    }
    return replace(record, filters=filters, about=about, has_weights=old.has_weights)
