"""Prepare a click log: any table of events → histories, vocabulary, features and a split, as a folder."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.clicks.prepare.config import (
    FilterConfig,
    LogConfig,
    SideFeaturesConfig,
    SplitConfig,
    VocabularyConfig,
)
from recsys_bert.settings import make_config
from recsys_bert.stages.folders import temporary_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.frames import Frame
    from recsys_bert.clicks.manifest import Manifest
    from recsys_bert.clicks.prepare.sources import TableSource


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Settings of preparing a click log."""

    log: LogConfig = field(default_factory=LogConfig)
    """Columns of the events."""

    item_features: SideFeaturesConfig = field(default_factory=SideFeaturesConfig)
    """Features from the item table."""

    user_features: SideFeaturesConfig = field(default_factory=SideFeaturesConfig)
    """Features from the user table."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Filters of events."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """Events held out for validation and test."""

    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    """Items that get an embedding row each."""


def prepare(
    events: "Frame | str | Path",
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
            ``user_id``, ``item_id`` and ``timestamp`` unless ``log`` names others: ``log={"user": "uid"}``.
        items: Side table of items, as a frame or a file.
        users: Side table of users, as a frame or a file.
        out: Folder to write; one that prepare made before is replaced. None: a temporary folder that is removed with
            the returned object.
        config: All settings as one object.
        **settings: Settings by name, in place of ``config``: ``split={"kind": "time"}``.

    Raises:
        InputError: The events, a side table or the settings cannot be used; nothing is written then.
    """
    settled = make_config(PrepareConfig, config, settings)
    if out is not None:
        return _prepare(events, items, users, Path(out), settled, str(out))
    with temporary_run("dataset") as (folder, keep_with):
        return keep_with(_prepare(events, items, users, folder, settled, "a temporary folder"))


def _prepare(events: Any, items: Any, users: Any, out: Path, config: PrepareConfig, shown_out: str) -> "ClickDataset":
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.manifest import check_target
    from recsys_bert.clicks.prepare.sources import open_source
    from recsys_bert.clicks.prepare.summary import summary_lines
    from recsys_bert.clicks.prepare.workspace import work_folder
    from recsys_bert.files import replacing

    started = time.monotonic()
    target = out.resolve() if out.is_symlink() else out  # the link stays
    check_target(target)
    with replacing(target) as folder, work_folder(target) as work:
        source = open_source(events, "events", config.log.format)
        item_source, user_source = (
            None if table is None else open_source(table, name) for table, name in ((items, "items"), (users, "users"))
        )
        manifest, notes = _write(source, item_source, user_source, config, folder, work)
    message = [*summary_lines(manifest), *notes, f"wrote {shown_out} in {time.monotonic() - started:.1f} s"]
    print("\n".join(message), file=sys.stderr)
    return open_dataset(out)


def _write(
    source: "TableSource",
    item_source: "TableSource | None",
    user_source: "TableSource | None",
    config: PrepareConfig,
    folder: Path,
    work: Path,
) -> "tuple[Manifest, list[str]]":
    """Write the folder; return its manifest and notes for the user."""
    from recsys_bert.clicks.prepare.catalogue import build_catalogue
    from recsys_bert.clicks.prepare.events import sorted_events
    from recsys_bert.clicks.prepare.filters import filter_events
    from recsys_bert.clicks.prepare.log import read_log
    from recsys_bert.clicks.prepare.side_tables import read_side
    from recsys_bert.clicks.prepare.splits import split_events
    from recsys_bert.clicks.prepare.writer import write_folder

    log = read_log(source, config.log, work)
    events = sorted_events(log, work)
    items = read_side(item_source, config.item_features, config.log.item, events.item_ids.dtype, "item")
    users = read_side(user_source, config.user_features, config.log.user, events.user_ids.dtype, "user")
    filtered = filter_events(events, config.filters, config.split)
    del events  # dropped events need not stay in memory
    borders = split_events(filtered.events, config.split, filtered.cut)
    catalogue = build_catalogue(filtered.events, borders, config.vocabulary, items.ids if items else None)
    sides = {"items": (items, config.item_features), "users": (users, config.user_features)}
    settings = json.loads(json.dumps(asdict(config), default=str))
    manifest = write_folder(folder, log, filtered, config.split, borders, catalogue, sides, settings)
    return manifest, list(_notes(filtered.events.times))


def _notes(times: "NDArray[np.int64] | None") -> Iterator[str]:
    """A remark if all times (microseconds) lie before such logs existed: their unit may be misread."""
    from datetime import UTC, datetime

    last = None if times is None or not len(times) else datetime.fromtimestamp(int(times.max()) / 1e6, UTC)
    if last is not None and last.year < 1980:
        yield (
            f"  all times lie before {last.year + 1}: numbers are read as seconds (or milliseconds …) since 1970. If "
            "they are days such as 20240229, write them 2024-02-29; if another unit, pass --log.time-unit."
        )
