"""prepare: any click log → a folder of histories, vocabulary, side tables and counts that every later stage opens."""

import contextlib
import glob
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.clicks.prepare.config import FilterConfig, LogConfig, SplitConfig, TableConfig, VocabularyConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Config:
    """Turn a click log into a folder of histories and vocabulary that every later stage opens."""

    log: LogConfig = field(default_factory=LogConfig)
    """The events."""

    out: Path
    """Folder to write; one that prepare made before is replaced."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    """Which events stay."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """What is held out."""

    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    """Which items get a row."""

    items: TableConfig = field(default_factory=TableConfig)
    """Side table of items."""

    users: TableConfig = field(default_factory=TableConfig)
    """Side table of users."""

    json: bool = False
    """Print the manifest as JSON on stdout."""


def run(config: Config) -> dict[str, Any]:
    """Prepare a log.

    Returns:
        The manifest.

    Raises:
        InputError: Something about the log or the settings cannot be; nothing is written then.
    """
    from recsys_bert.clicks.manifest import check_target
    from recsys_bert.clicks.prepare.catalogue import build_catalogue
    from recsys_bert.clicks.prepare.events import sorted_events
    from recsys_bert.clicks.prepare.filters import filtered
    from recsys_bert.clicks.prepare.log import read_log
    from recsys_bert.clicks.prepare.side_tables import read_side
    from recsys_bert.clicks.prepare.splits import split_events
    from recsys_bert.clicks.prepare.summary import lines
    from recsys_bert.clicks.prepare.writer import write_folder
    from recsys_bert.files import replacing

    started = time.monotonic()
    out = config.out.resolve() if config.out.is_symlink() else config.out  # the link stays
    check_target(out)
    with replacing(out) as aside, _beside(out) as work:
        log = read_log(config.log, work)
        events = sorted_events(log, work)
        items = read_side(config.items, config.log.item, events.item_ids.dtype, "items")
        users = read_side(config.users, config.log.user, events.user_ids.dtype, "users")
        rest = filtered(events, config.filters, config.split)
        note = _early(rest.events.times)
        del events  # what was dropped need not stay in memory
        borders = split_events(rest.events, config.split, rest.cut)
        catalogue = build_catalogue(rest.events, borders, config.vocabulary, items.ids if items else None)
        sides = {"items": (items, config.items), "users": (users, config.users)}
        settings = json.loads(json.dumps(asdict(config), default=str))
        manifest = write_folder(aside, log, rest, config.split, borders, catalogue, sides, settings)
    told = manifest.as_dict()
    if config.json:
        print(json.dumps(told, ensure_ascii=False))
    shown = [*lines(manifest), *note, f"wrote {config.out} in {time.monotonic() - started:.1f} s"]
    print("\n".join(shown), file=sys.stderr)
    return told


def _early(times: "NDArray[np.int64] | None") -> list[str]:
    """A remark where all times (microseconds) lie before anybody kept such logs: they may be no seconds at all."""
    from datetime import UTC, datetime

    newest = None if times is None or not len(times) else datetime.fromtimestamp(int(times.max()) / 1e6, UTC)
    if newest is None or newest.year >= 1980:
        return []
    return [
        f"  all times lie before {newest.year + 1}: numbers are read as seconds (or milliseconds …) since 1970. If "
        "they are days such as 20240229, write them 2024-02-29; if another unit, pass --log.time-unit."
    ]


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Yield a temporary folder on the disk of ``out``, which has room for the log where the system's may not.

    It is locked while its process lives; those that killed processes left for the same ``out`` are removed.
    """
    for left in out.parent.glob(f".{glob.escape(out.name)}-{'[a-z0-9_]' * 8}"):
        with _locked(left) as ours:
            if ours and (left / "log.arrow").exists():  # else somebody else's, of a like name
                shutil.rmtree(left, ignore_errors=True)
    try:
        work = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}. Choose another --out.") from error
    with work as name, _locked(Path(name)):
        yield Path(name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder; False where another process has it, or where the system or a network disk has no locks."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
