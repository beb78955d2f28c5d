"""Prepare a click log: any table of events → histories, vocabulary, features and a split, as a folder."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.clicks.prepare.config import PARTS, FilterConfig, LogConfig, SplitConfig, VocabularyConfig
from recsys_bert.clicks.prepare.features_config import ItemFeaturesConfig, SideFeaturesConfig
from recsys_bert.clicks.prepare.presets import with_preset
from recsys_bert.clicks.prepare.table_config import TableConfig
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.folders import temporary_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.frames import Frame
    from recsys_bert.clicks.lineage import Basis
    from recsys_bert.clicks.manifest import Manifest
    from recsys_bert.clicks.prepare.events import Events
    from recsys_bert.clicks.prepare.sources import TableSource
    from recsys_bert.clicks.prepare.vectors import Side
    from recsys_bert.clicks.prepare.writer import LogRecord


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of preparing a click log."""

    log: LogConfig = field(default_factory=LogConfig)
    """Columns of the events."""

    item_table: TableConfig = field(default_factory=TableConfig)
    """Reading of the files of the item table."""

    user_table: TableConfig = field(default_factory=TableConfig)
    """Reading of the files of the user table."""

    item_features: ItemFeaturesConfig = field(default_factory=ItemFeaturesConfig)
    """Features and words from the item table."""

    user_features: SideFeaturesConfig = field(default_factory=SideFeaturesConfig)
    """Features from the user table."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Filters of events."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """Events held out for validation and test."""

    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    """Items that get an embedding row each."""


def prepare(
    events: "Frame | str | Path | None" = None,
    *,
    items: "Frame | str | Path | None" = None,
    users: "Frame | str | Path | None" = None,
    out: Path | str | None = None,
    config: PrepareConfig | None = None,
    **settings: Any,
) -> "ClickDataset":
    """Prepare a click log.

    Args:
        events: A frame of any library (see ``recsys_bert.clicks.frames``), or a file, folder or glob. Columns
            ``user_id``, ``item_id`` and ``timestamp`` unless ``log`` names others: ``log={"user": "uid"}``. None with a
            split of your own, whose parts may be frames too: ``log={"train": one, "validation": two, "test": three}``.
        items: Side table of items, as a frame or a file.
        users: Side table of users, as a frame or a file.
        out: Folder to write; one that prepare made before is replaced. None: a temporary folder that is removed with
            the returned object.
        config: All settings as one object.
        **settings: Settings by name, in place of ``config``: ``split={"kind": "time"}``. ``vocabulary={"of": …}`` takes
            a folder, what ``prepare`` returned, or a model.

    Raises:
        InputError: The events, a side table or the settings cannot be used; nothing is written then.
    """
    frames, settings = _frames_of(settings)
    settled = make_config(PrepareConfig, config, _with_folder(settings))
    settled = replace(settled, log=with_preset(settled.log))
    parts = {name: frames.get(name, getattr(settled.log, name)) for name in PARTS}
    settled, events = _with_parts(settled, events, parts)
    if out is not None:
        return _prepare(events, items, users, Path(out), settled, str(out))
    with temporary_run("dataset") as (folder, keep_with):
        return keep_with(_prepare(events, items, users, folder, settled, "a temporary folder"))


def _frames_of(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Frames among the parts of a split, and the settings without them."""
    log = settings.get("log")
    if not isinstance(log, dict):
        return {}, settings
    frames = {name: log[name] for name in PARTS if not isinstance(log.get(name), str | Path | None)}
    paths = {name: str(value) if isinstance(value, Path) else value for name, value in log.items()}
    return frames, {**settings, "log": {name: value for name, value in paths.items() if name not in frames}}


def _with_parts(config: PrepareConfig, events: Any, parts: dict[str, Any]) -> tuple[PrepareConfig, Any]:
    """Settings with the kind of split, and the events: of one log, or by part of a split of one's own.

    Raises:
        InputError: Both or neither are given, a part is missing, or the split says otherwise.
    """
    named = {name: data for name, data in parts.items() if data is not None}
    if not named:
        if events is None:
            raise InputError("there are no events: give events, or log.train and log.test.")
        if config.split.kind == "own":
            raise InputError("split.kind 'own' is a split by files: give log.train and log.test in place of events.")
        return config, events
    if events is not None:
        raise InputError(f"events and log.{next(iter(named))} are both given; give one of them.")
    if not {"train", "test"} <= named.keys():
        missing = "train" if "train" not in named else "test"
        raise InputError(f"log.{next(iter(named))} is given, but log.{missing} is not; a split needs both.")
    if config.split.kind not in ("leave_one_out", "own"):  # the former is the default
        raise InputError(f"split.kind is {config.split.kind!r}, but log.train and log.test are a split. Leave it out.")
    if not config.split.validation and "validation" not in named:
        raise InputError("split.validation is off, but there is no log.validation: it has no effect. Leave it out.")
    return replace(config, split=replace(config.split, kind="own")), named


def _with_folder(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the folder of a dataset or the run of a model as ``vocabulary.of``."""
    vocabulary = settings.get("vocabulary")
    if not isinstance(vocabulary, dict) or "of" not in vocabulary:
        return settings
    of = vocabulary["of"]
    folder = next((getattr(of, name) for name in ("folder", "run") if getattr(of, name, None) is not None), of)
    return {**settings, "vocabulary": {**vocabulary, "of": folder}}


def _prepare(events: Any, items: Any, users: Any, out: Path, config: PrepareConfig, shown_out: str) -> "ClickDataset":
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.manifest import check_target
    from recsys_bert.clicks.prepare.own_split import check_folder
    from recsys_bert.clicks.prepare.sources import open_source
    from recsys_bert.clicks.prepare.summary import summary_lines
    from recsys_bert.files import replacing, work_folder
    from recsys_bert.locks import only_writer

    started = time.monotonic()
    target = out.resolve() if out.is_symlink() else out  # the link stays
    check_target(target)
    with only_writer(target), replacing(target, sealed=True) as folder, work_folder(target) as work:
        check_folder(events)
        named = events if config.split.kind == "own" else {"events": events}
        sources = {name: open_source(data, name, config.log, "log", work / name) for name, data in named.items()}
        item_source, user_source = (
            None if table is None else open_source(table, name, reading, group, work)
            for table, name, reading, group in (
                (items, "items", config.item_table, "item_table"),
                (users, "users", config.user_table, "user_table"),
            )
        )
        manifest, notes = _write(sources, item_source, user_source, config, folder, work)
    message = [*summary_lines(manifest), *notes, f"wrote {shown_out} in {time.monotonic() - started:.1f} s"]
    print("\n".join(message), file=sys.stderr)
    return open_dataset(out)


def _write(
    sources: "dict[str, TableSource]",
    item_source: "TableSource | None",
    user_source: "TableSource | None",
    config: PrepareConfig,
    folder: Path,
    work: Path,
) -> "tuple[Manifest, list[str]]":
    """Write the folder; return its manifest and notes for the user."""
    from recsys_bert.clicks.dataset import open_basis
    from recsys_bert.clicks.prepare.dense_features import warn_of_numbers
    from recsys_bert.clicks.prepare.events import sorted_events
    from recsys_bert.clicks.prepare.log import read_log
    from recsys_bert.clicks.prepare.own_split import read_parts
    from recsys_bert.clicks.prepare.sessions import split_sessions
    from recsys_bert.clicks.prepare.side_tables import read_side
    from recsys_bert.clicks.prepare.vectors import with_vectors
    from recsys_bert.clicks.prepare.writer import LogRecord

    basis = None if config.vocabulary.of is None else open_basis(config.vocabulary.of)
    known = basis.event_types if basis else []
    if config.split.kind == "own":
        log = read_parts(sources, config.log, known, work, refit=not config.split.validation)
    else:
        log = read_log(sources["events"], config.log, work).after_types(known)
    events = sorted_events(log, work)
    if basis is not None:
        check_basis(basis, events, config)
    sides: list[Side] = []
    notes: list[str] = []
    for role, source, ids in (("item", item_source, events.item_ids), ("user", user_source, events.user_ids)):
        features, name = getattr(config, f"{role}_features"), getattr(config.log, role)
        table = read_side(source, features, getattr(config, f"{role}_table"), name, ids, role)
        if table is not None:
            notes += [*([table.note] if table.note else []), *warn_of_numbers(table, features, f"{role}_features")]
        sides.append(with_vectors(features, table, ids, name))
    notes += _notes(events.times)
    if config.log.session_minutes is not None:
        n_users, events = events.n_users, split_sessions(events, config.log.session_minutes)
        notes.append(f"  {n_users:,} users were split into {events.n_users:,} sessions, which are the users now")
    record = partial(LogRecord.of, log, sources=list(sources.values()))
    return write_events(folder, events, (sides[0], sides[1]), config, basis, record), notes


def write_events(
    folder: Path,
    events: "Events",
    sides: "tuple[Side, Side]",
    config: PrepareConfig,
    basis: "Basis | None",
    record: "Callable[[list[dict[str, Any]]], LogRecord]",
) -> "Manifest":
    """Filter, split and number sorted events, and write the folder.

    Args:
        folder: Folder to create.
        events: Sorted events.
        sides: Side data of items and of users.
        config: The settings.
        basis: Vocabulary to grow from.
        record: Makes the record of the log from the entries of the filters.

    Raises:
        InputError: Nothing is left, or nothing can be held out.
    """
    from recsys_bert.clicks.prepare.catalogue import build_catalogue
    from recsys_bert.clicks.prepare.filters import filter_events
    from recsys_bert.clicks.prepare.held_out_items import hold_out_items
    from recsys_bert.clicks.prepare.splits import split_events
    from recsys_bert.clicks.prepare.writer import write_folder

    items, users = sides
    filtered = filter_events(events, config.filters, config.split)
    del events  # dropped events need not stay in memory
    if basis is not None and not filtered.events.user_ids.equals(order := basis.users_first(filtered.events.user_ids)):
        filtered = replace(filtered, events=filtered.events.with_users(order))
    borders = split_events(filtered.events, config.split, filtered.cut)
    side_ids = items.table.ids if items.table else None
    if config.split.hold_out_items:
        filtered, borders = hold_out_items(filtered, borders, config.split, side_ids)
    vocabulary = basis.vocabulary if basis else None
    catalogue = build_catalogue(filtered.events, borders, config.vocabulary, side_ids, vocabulary)
    settings = json.loads(json.dumps(asdict(config), default=str))
    log, roles = record(filtered.log), {"items": items, "users": users}
    return write_folder(folder, log, filtered, config.split, borders, catalogue, roles, settings, basis)


def check_basis(basis: "Basis", events: "Events", config: PrepareConfig) -> None:
    """Refuse a log that cannot grow from a basis.

    Raises:
        InputError: Ids are of another type, or features are missing.
    """
    from recsys_bert.clicks.lineage import DENSE

    for role, ids in (("item", events.item_ids), ("user", events.user_ids)):
        basis.check_ids(role, ids.dtype)
    groups = {"items": config.item_features, "users": config.user_features}
    multi = {
        role: {**dict.fromkeys(group.categorical, False), **dict.fromkeys(group.multi, True)}
        for role, group in groups.items()
    }
    dense = {DENSE[role]: dict.fromkeys(group.numeric + group.vector_names, False) for role, group in groups.items()}
    basis.check_features(multi | dense)


def _notes(times: "NDArray[np.int64] | None") -> Iterator[str]:
    """A remark if all times (microseconds) lie before such logs existed: their unit may be misread."""
    from datetime import UTC, datetime

    last = None if times is None or not len(times) else datetime.fromtimestamp(int(times.max()) / 1e6, UTC)
    if last is not None and last.year < 1980:
        yield (
            f"  all times lie before {last.year + 1}: numbers are read as seconds (or milliseconds …) since 1970. If "
            "they are days such as 20240229, write them 2024-02-29; if another unit, pass --log.time-unit."
        )
