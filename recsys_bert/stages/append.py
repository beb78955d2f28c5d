"""Append today's events to a prepared folder: the result of preparing all of them anew, without reading the old log."""

import sys
import time
import weakref
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.clicks.prepare.features_config import vector_file
from recsys_bert.clicks.prepare.table_config import Format
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.settings_types import check_settings, fill
from recsys_bert.stages.prepare import PrepareConfig, check_basis, write_events

if TYPE_CHECKING:
    import polars as pl

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.frames import Frame
    from recsys_bert.clicks.manifest import Manifest
    from recsys_bert.clicks.prepare.log import Log
    from recsys_bert.clicks.prepare.vectors import Side
    from recsys_bert.clicks.prepare.writer import LogRecord


@dataclass(frozen=True, kw_only=True)
class AppendConfig:
    """Settings of appending; all others are those that the folder was prepared with."""

    format: Format | None = None
    """Format of the files of events; None: as in the folder."""

    item_vectors: tuple[str, ...] = ()
    """Vectors of new items as ``NAME=FILE``, for features of ``item_features.vectors``; they replace those of the same
    items. Other items keep theirs, and files named when preparing are not read again."""

    user_vectors: tuple[str, ...] = ()
    """Vectors of new users, likewise."""

    def __post_init__(self) -> None:
        for named in (*self.item_vectors, *self.user_vectors):
            vector_file(named)


def append(
    dataset: "ClickDataset | Path | str",
    events: "Frame | str | Path",
    *,
    items: "Frame | str | Path | None" = None,
    users: "Frame | str | Path | None" = None,
    out: Path | str | None = None,
    config: AppendConfig | None = None,
    **settings: Any,
) -> "ClickDataset":
    """Append events to a prepared folder.

    Histories, counts, split and rows are those of preparing all events anew with ``vocabulary.of`` the folder: its
    items and users keep their rows, and what is new follows. The old log is not read; histories are copied once. A time
    cut by quantile and the held-out events of leave-one-out move on with the log. The folder keeps whole seconds: of
    two events within one, the folder's goes first.

    Args:
        dataset: The prepared folder.
        events: Today's events, see ``prepare``; read with the folder's ``log`` settings.
        items: Side table of items; its rows replace those of the folder, whose other rows stay.
        users: Side table of users, likewise.
        out: Folder to write; None replaces ``dataset``, at once and as a whole.
        config: The settings.
        **settings: Settings by name, in place of ``config``.

    Raises:
        InputError: The events cannot be used, or the folder was prepared with filters by counts (``filters.min_…``),
            whose dropped events might be enough now; nothing is written then.
    """
    from recsys_bert.clicks.dataset import ClickDataset, open_dataset

    settled = make_config(AppendConfig, config, settings)
    opened = dataset if isinstance(dataset, ClickDataset) else open_dataset(Path(dataset))
    target = opened.folder if out is None else Path(out)
    _append(opened, events, (items, users), target, settled)
    appended = open_dataset(target)
    weakref.finalize(appended, id, opened)  # keeps it: a temporary folder goes with the dataset that it was made for
    return appended


def _append(dataset: "ClickDataset", events: Any, tables: tuple[Any, Any], out: Path, settings: AppendConfig) -> None:
    from recsys_bert.clicks.manifest import check_target
    from recsys_bert.clicks.prepare.append import check_can_append
    from recsys_bert.clicks.prepare.summary import summary_lines
    from recsys_bert.files import replacing, work_folder
    from recsys_bert.locks import only_writer

    started = time.monotonic()
    config = _config_of(dataset, settings)
    check_can_append(config.filters, config.split, config.vocabulary, config.log, dataset)
    target = out.resolve() if out.is_symlink() else out
    check_target(target)
    with only_writer(target), replacing(target, sealed=True) as folder, work_folder(target) as work:
        manifest, late = _write(dataset, events, tables, config, settings, folder, work)
    notes = [f"  {late:,} events are older than the last one of their user"] if late else []
    message = [*summary_lines(manifest), *notes, f"wrote {out} in {time.monotonic() - started:.1f} s"]
    print("\n".join(message), file=sys.stderr)


def _config_of(dataset: "ClickDataset", settings: AppendConfig) -> PrepareConfig:
    """Settings that a folder was prepared with, for reading a log whose ids are of its types."""
    from polars import String

    source = f"{dataset.folder / 'manifest.json'}, config"
    names = {field.name for field in fields(PrepareConfig)}  # the command's paths are not among them
    values = {name: value for name, value in dataset.manifest.config.items() if name in names}
    config = fill(PrepareConfig, check_settings(PrepareConfig, values, source))
    is_text = [ids.dtype == String for ids in (dataset.vocabulary.item_ids, dataset.user_ids)]
    changes: dict[str, Any] = {"ids": "text"} if all(is_text) else {}
    if settings.format is not None:
        changes["format"] = settings.format
    return replace(config, log=replace(config.log, **changes))


def _write(
    dataset: "ClickDataset",
    events: Any,
    tables: tuple[Any, Any],
    config: PrepareConfig,
    settings: AppendConfig,
    folder: Path,
    work: Path,
) -> "tuple[Manifest, int]":
    """Write the folder; return its manifest and the number of late events."""
    from recsys_bert.clicks.frames import to_frame
    from recsys_bert.clicks.prepare.append import appended_events
    from recsys_bert.clicks.prepare.events import sorted_events
    from recsys_bert.clicks.prepare.log import read_log
    from recsys_bert.clicks.prepare.sources import open_source

    data, reading = events, config.log
    if not isinstance(events, str | Path):
        data, reading = to_frame(events, "events"), config.log.for_frames()
    source = open_source(data, "events", reading, "log", work)
    basis = dataset.basis()
    log = read_log(source, reading, work).after_types(basis.event_types)
    today = sorted_events(log, work)
    check_basis(basis, today, config)
    if log.has_time != dataset.has_times:
        raise InputError(f"{source.name} has {'' if log.has_time else 'no '}times, unlike {dataset.folder}.")
    sides = [
        _side(dataset, role, table, config, getattr(settings, f"{role}_vectors"), ids, work)
        for role, table, ids in (("item", tables[0], today.item_ids), ("user", tables[1], today.user_ids))
    ]
    merged = appended_events(dataset, today, work)
    if merged.late and config.filters.repeats != "keep":
        raise InputError(
            f"{merged.late:,} events are older than the last one of their user in {dataset.folder}, which was prepared "
            "with filters.repeats 'consecutive': what was dropped before them is not known. Prepare all events again, "
            "with --vocabulary.of."
        )
    record = partial(_record, dataset, log)
    return write_events(folder, merged.events, (sides[0], sides[1]), config, basis, record), merged.late


def _side(
    dataset: "ClickDataset",
    role: str,
    table: Any,
    config: PrepareConfig,
    files: tuple[str, ...],
    ids: "pl.Series",
    work: Path,
) -> "Side":
    """Side data of the folder and of today; today's rows and vectors win.

    Args:
        dataset: The prepared folder.
        role: ``item`` or ``user``.
        table: Today's side table or None.
        config: Settings of the folder.
        files: Today's files of vectors as ``NAME=FILE``.
        ids: Ids of today's log.
        work: Folder for decoded copies.
    """
    from polars import concat

    from recsys_bert.clicks.frames import to_frame
    from recsys_bert.clicks.prepare.append import side_table_with
    from recsys_bert.clicks.prepare.side_tables import read_side
    from recsys_bert.clicks.prepare.sources import open_source
    from recsys_bert.clicks.prepare.vectors import Side, stored_vectors, with_vectors

    group, column = f"{role}_table", getattr(config.log, role)
    features, table_config = getattr(config, f"{role}_features"), getattr(config, group)
    named = dict(map(vector_file, files))
    if unknown := [name for name in named if name not in features.vector_names]:
        known = ", ".join(features.vector_names) or "none"
        raise InputError(f"{role}_vectors names {unknown[0]!r}; {dataset.folder} has the vectors {known}.")
    columns = () if table is None else tuple(name for name in features.vector_columns if name not in named)
    reading = replace(features, vectors=(*columns, *files))
    if table is not None and not isinstance(table, str | Path):
        table, table_config = to_frame(table, f"{role}s"), replace(table_config.for_frames(), bad_rows="error")
    source = None if table is None else open_source(table, f"{role}s", table_config, group, work)
    side = None if source is None else read_side(source, reading, table_config, column, ids, role)
    known_ids = dataset.items["item_id"] if role == "item" else dataset.user_ids
    today = with_vectors(reading, side, concat([known_ids, ids.rename(known_ids.name)]), column)
    stored = stored_vectors(dataset, f"{role}s")
    vectors = {
        name: today.vectors[name].with_known(known, name) if name in today.vectors else known
        for name, known in stored.items()
    }
    return Side(features, side_table_with(dataset, f"{role}s", today.table), vectors)


def _record(dataset: "ClickDataset", log: "Log", filters: list[dict[str, Any]]) -> "LogRecord":
    from recsys_bert.clicks.prepare.append import summed_record
    from recsys_bert.clicks.prepare.writer import LogRecord

    return summed_record(dataset, LogRecord.of(log, filters))
