"""Writer of a prepared folder; the manifest comes last."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_bert.clicks.histories import Histories
from recsys_bert.clicks.lineage import ROLES, Basis, Values, contents_of, event_values, fingerprint_of, scalings
from recsys_bert.clicks.manifest import NAME, UNKNOWN_EVENTS, Manifest
from recsys_bert.clicks.prepare.catalogue import Catalogue
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.events import Events, mapped
from recsys_bert.clicks.prepare.filters import Filtered
from recsys_bert.clicks.prepare.leaks import check_no_leak
from recsys_bert.clicks.prepare.log import Log
from recsys_bert.clicks.prepare.side_tables import Rows
from recsys_bert.clicks.prepare.side_writer import OWN_COLUMNS, text_entry, write_side
from recsys_bert.clicks.prepare.sources import TableSource
from recsys_bert.clicks.prepare.splits import Borders
from recsys_bert.clicks.prepare.summary import cold_counts, event_counts, weight_counts
from recsys_bert.clicks.prepare.times import PER_SECOND
from recsys_bert.clicks.prepare.vectors import Side
from recsys_bert.files import write_json


@dataclass(frozen=True, kw_only=True)
class LogRecord:
    """Record of the reading of a log, for the manifest.

    Args:
        has_times: True if the log has times.
        has_weights: True if events are weighted.
        event_types: Event types in the order of their codes.
        filters: Entries of the manifest: reading, then one per filter.
        about: Rows, event types, files and SHA-256 of the contents.
    """

    has_times: bool
    has_weights: bool
    event_types: list[str]
    filters: list[dict[str, Any]]
    about: dict[str, Any]

    @staticmethod
    def of(log: Log, filters: list[dict[str, Any]], sources: Sequence[TableSource] = ()) -> "LogRecord":
        """Record of a log and its filters.

        Args:
            log: As it was read.
            filters: Entries of the filters.
            sources: Its parts, where there are several.
        """
        parts = sources or [log.source]
        digests = [part.fingerprint() for part in parts]
        together = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
        about = {
            "rows": log.rows,
            "event_types": log.event_types,
            "time_units": log.time_units,
            "sha256": together,
            "files": [entry for part in parts for entry in part.listing()],
        }
        return LogRecord(
            has_times=log.has_time,
            has_weights=log.has_weight,
            event_types=log.types,
            filters=[log.as_filter(), *filters],
            about=about,
        )


def write_folder(
    folder: Path,
    record: LogRecord,
    filtered: Filtered,
    split: SplitConfig,
    borders: Borders,
    catalogue: Catalogue,
    sides: dict[str, Side],
    settings: dict[str, Any],
    basis: Basis | None = None,
) -> Manifest:
    """Write all files that ``open_dataset`` reads.

    Args:
        folder: Folder to create.
        record: Record of the log that was read.
        filtered: Remaining events.
        split: Kind of split.
        borders: Borders of the split.
        catalogue: Rows of items.
        sides: Side data of ``items`` and ``users``.
        settings: Resolved settings, for the manifest.
        basis: Vocabulary that this one grew from.

    Returns:
        The manifest, as written.
    """
    folder.mkdir()
    events = filtered.events
    histories = write_histories(events, borders, catalogue, folder / "histories.arrow")
    write_unknown_events(events, catalogue, folder / UNKNOWN_EVENTS)
    catalogue.vocabulary.save(folder / "vocabulary.parquet")
    tables = {"items": catalogue_table(catalogue), "users": user_table(events)}
    rows = {
        "items": Rows(catalogue.ids(), tables["items"]["count"].to_numpy() > 0, catalogue.vocabulary.first_item),
        "users": Rows(
            events.user_ids if events.log_user_ids is None else events.log_user_ids,
            borders.train_end > events.offsets[:-1],
        ),
    }
    inherited: Values = basis.values if basis else {}
    written = {role: write_side(folder, role, tables[role], rows[role], sides[role], inherited) for role in ROLES}
    features = {role: one.features for role, one in written.items()}
    entries = {role: {one.name: one.counts for one in part.dense} for role, part in written.items() if part.dense}
    values = {role: {one.name: one.values for one in columns} for role, columns in features.items()}
    values |= event_values(record.event_types) | scalings(entries)
    cut = (filtered.cut[0] // PER_SECOND, filtered.cut[1] // PER_SECOND) if filtered.cut else None
    manifest = Manifest(
        fingerprint=fingerprint_of(catalogue.vocabulary, values, contents_of(entries)),
        has_times=record.has_times,
        has_weights=record.has_weights,
        event_types=record.event_types,
        weights=weight_counts(histories, record.event_types),
        counts=event_counts(histories, catalogue),
        filters=record.filters,
        split={"kind": split.kind, "validation": split.validation, **borders.entry, **_leaks(record.filters)}
        | {"check": check_no_leak(histories, catalogue, features, cut)},
        cold=cold_counts(histories, catalogue),
        features={role: {one.name: one.counts for one in columns} for role, columns in features.items() if columns},
        dense=entries,
        side_tables={role: side.table.counts for role, side in sides.items() if side.table},
        texts=text_entry(written["items"].table, sides["items"], histories, catalogue),
        log=record.about,
        config=settings,
        growth=_growth(events, catalogue, basis) if basis else {},
    )
    write_json(folder / NAME, manifest.as_dict())
    return manifest


def _leaks(filters: list[dict[str, Any]]) -> dict[str, Any]:
    """Leaks of a split of one's own, if there are counts of them."""
    counts: dict[str, int] = next((entry["counts"] for entry in filters if entry["filter"] == "leaks"), {})
    return {"leaks": counts} if counts else {}


def _growth(events: Events, catalogue: Catalogue, basis: Basis) -> dict[str, Any]:
    """Entry of the manifest: earlier states of the vocabulary, and counts of new and of gone items and users."""
    n_events = np.zeros(catalogue.n_rows, np.int64)
    for _, part in events.chunks():
        n_events += np.bincount(catalogue.row_of_code[events.items[part]], minlength=catalogue.n_rows)
    first, old = basis.vocabulary.first_item, basis.vocabulary.size
    counts = {"items_inherited": old - first, "items_without_events": int((n_events[first:old] == 0).sum())}
    counts["items_new"] = catalogue.vocabulary.size - old
    if basis.user_ids is not None:
        n_old = len(basis.user_ids)
        counts |= {"users_inherited": n_old, "users_new": events.n_users - n_old}
        counts["users_without_events"] = int((np.diff(events.offsets)[:n_old] == 0).sum())
    return {"of": basis.folder.name, **counts, "states": [asdict(state) for state in basis.states]}


def write_unknown_events(events: Events, catalogue: Catalogue, path: Path) -> None:
    """Write the ids of events whose items have no row of their own, so that a later log can give them one.

    ``event`` is the position in the histories, ``item_id`` the id.
    """
    first, parts = catalogue.vocabulary.first_item, []
    for _, part in events.chunks():
        codes = np.asarray(events.items[part])
        at = np.flatnonzero(catalogue.row_of_code[codes] < first)
        parts.append(pl.DataFrame({"event": part.start + at, "item_id": events.item_ids.gather(codes[at])}))
    empty = pl.DataFrame({"event": np.zeros(0, np.int64), "item_id": events.item_ids.clear()})
    pl.concat([empty, *parts]).write_parquet(path)


def write_histories(events: Events, borders: Borders, catalogue: Catalogue, path: Path) -> Histories:
    """Turn item codes into rows and microseconds into seconds, through raw files, into one Arrow file."""
    with open(events.folder / "rows.raw", "wb") as rows, open(events.folder / "seconds.raw", "wb") as seconds:
        for users, part in events.chunks():
            catalogue.row_of_code[events.items[part]].tofile(rows)
            if events.times is not None:
                timestamps = events.times[part] // PER_SECOND
            else:  # the position in the history stands for the time
                lengths = np.diff(events.offsets[users.start : users.stop + 1])
                timestamps = np.arange(part.start, part.stop) - np.repeat(events.offsets[users], lengths)
            timestamps.tofile(seconds)
    histories = Histories(
        items=mapped(events.folder / "rows.raw", np.int32),
        times=mapped(events.folder / "seconds.raw", np.int64),
        weights=events.weights,
        event_types=events.types,
        offsets=events.offsets,
        train_end=borders.train_end,
        validation_end=borders.validation_end,
    )
    histories.save(path)
    return Histories.load(path)


def catalogue_table(catalogue: Catalogue) -> pl.DataFrame:
    """``item_row``, ``item_id`` and training ``count`` of all item rows."""
    vocabulary = catalogue.vocabulary
    rows = np.arange(vocabulary.first_item, catalogue.n_rows, dtype=np.int32)
    counts = np.concatenate([vocabulary.counts[vocabulary.first_item :], np.zeros(len(catalogue.cold_ids), np.int64)])
    return pl.DataFrame(dict(zip(OWN_COLUMNS["items"], (rows, catalogue.ids(), counts), strict=True)))


def user_table(events: Events) -> pl.DataFrame:
    """``user_row`` and ``user_id``, and ``log_user_id`` where users are sessions."""
    table = pl.DataFrame({"user_row": np.arange(events.n_users, dtype=np.int64), "user_id": events.user_ids})
    return table if events.log_user_ids is None else table.with_columns(events.log_user_ids.alias("log_user_id"))
