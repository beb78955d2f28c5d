"""Splits of one's own: training, validation and test as files or frames of their own; leaks between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.config import PARTS, LogConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.log import Log, read_log
from recsys_bert.clicks.prepare.sources import TableSource
from recsys_bert.errors import InputError

WORDS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Words in the names of files, and the part that they stand for."""


def check_folder(events: Any) -> None:
    """Refuse a folder of files that look like the parts of a split.

    Raises:
        InputError: It is one, with the flags that read it.
    """
    if not isinstance(events, str | Path) or not Path(events).is_dir():
        return
    files: dict[str, Path] = {}
    for path in sorted(Path(events).iterdir()):
        words = path.name.lower().replace("-", ".").replace("_", ".").split(".")
        if len(roles := {WORDS[word] for word in words if word in WORDS}) == 1:
            files.setdefault(roles.pop(), path)
    if "train" in files and len(files) > 1:
        names = ", ".join(path.name for path in files.values())
        flags = " ".join(f"--log.{part} {files[part]}" for part in PARTS if part in files)
        raise InputError(
            f"{events} holds {names}, which look like the parts of a split; as one log they would be split anew. Pass "
            f"{flags}, or, to merge them, a glob: --events '{events}/*'."
        )


def read_parts(
    sources: Mapping[str, TableSource], config: LogConfig, known: Sequence[str], work: Path, *, refit: bool = False
) -> Log:
    """Read the parts of a split as one log, whose column ``part`` is the index in ``PARTS``.

    Args:
        sources: The parts, training among them.
        config: Columns, the same for all.
        known: Event types that have the first codes.
        work: Folder for the files.
        refit: Train on the validation events, too.

    Raises:
        InputError: A part cannot be read, or ids or times of two of them differ in type.
    """
    logs = {}
    for name, source in sources.items():
        (work / name).mkdir(exist_ok=True)
        logs[name] = read_log(source, config, work / name)
    first = next(iter(logs.values()))
    types = dict.fromkeys(sorted({one for log in logs.values() for one in log.types}))
    logs = {name: log.after_types([*known, *(one for one in types if one not in known)]) for name, log in logs.items()}
    codes = {name: 0 if refit and name == "validation" else code for code, name in enumerate(PARTS)}
    tables = {name: log.table().with_columns(part=pl.lit(codes[name], pl.UInt8)) for name, log in logs.items()}
    _check_same(logs, {name: table.collect_schema() for name, table in tables.items()})
    path = work / "log.arrow"
    pl.concat(tables.values()).with_columns(bad=pl.lit(0, pl.UInt8)).sink_ipc(
        path, compression="lz4", engine="streaming"
    )
    return replace(
        next(iter(logs.values())),
        path=path,
        rows=sum(log.rows for log in logs.values()),
        dropped=_summed([log.dropped for log in logs.values()]),
        integer_ids={},
        event_types=_summed([log.event_types for log in logs.values()]),
        time_units=_summed([log.time_units for log in logs.values()]),
        has_time=first.has_time,
    )


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


def _check_same(logs: Mapping[str, Log], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parts whose columns differ."""
    (first, schema), *others = schemas.items()
    for name, other in others:
        for role in ("user", "item"):
            if other[role] != schema[role]:
                sorts = ["text" if one[role] == pl.String else "integers" for one in (schema, other)]
                raise InputError(
                    f"{role} ids of log.{first} are {sorts[0]}, those of log.{name} {sorts[1]}. Pass "
                    f"{logs[name].source.setting('log', 'ids', 'text')} to take all of them as text."
                )
        if missing := [role for role in schema if role not in other] or [role for role in other if role not in schema]:
            raise InputError(f"log.{first} and log.{name} differ: only one of them has a column of {missing[0]}s.")


@dataclass(frozen=True)
class Leaks:
    """Training events that a split of one's own gives away, or that come from its future.

    Args:
        held_out_too: True on events that a later part has as well: same user, item and time; ``[n]``.
        counts: Counts by kind, for the manifest.
    """

    held_out_too: NDArray[np.bool_]
    counts: dict[str, int]


def find_leaks(events: Events) -> Leaks:
    """Find events that are in two parts, and training events that are later than what was held out.

    Without times no event can be told to be in two parts, and none is later.
    """
    assert events.parts is not None
    double, after, users_after = np.zeros(len(events), bool), 0, 0
    if events.times is None:
        return Leaks(double, {})
    first_test = int(np.iinfo(np.int64).max)
    trained: list[NDArray[np.int64]] = []
    for users, part in events.chunks():
        parts, times = events.parts[part], events.times[part]
        owner = np.repeat(np.arange(users.stop - users.start), np.diff(events.offsets[users.start : users.stop + 1]))
        double[part] = _in_later_part(owner, events.items[part], times, parts)
        first_held_out = np.full(users.stop - users.start, np.iinfo(np.int64).max, np.int64)
        np.minimum.at(first_held_out, owner[parts > 0], times[parts > 0])
        late = (parts == 0) & (times > first_held_out[owner]) & ~double[part]
        after, users_after = after + int(late.sum()), users_after + len(np.unique(owner[late]))
        first_test = min(first_test, int(times[parts == PARTS.index("test")].min(initial=first_test)))
        trained.append(times[(parts == 0) & ~double[part]])
    counts = {
        "training_events_held_out_too": int(double.sum()),
        "training_events_after_a_held_out_one_of_their_user": after,
        "users_with_such_events": users_after,
        "training_events_after_the_first_test_event": sum(int((times > first_test).sum()) for times in trained),
    }
    return Leaks(double, counts)


def _in_later_part(
    owner: NDArray[np.int64], items: NDArray[np.int32], times: NDArray[np.int64], parts: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """True on events of which a later part has another one of the same user, item and time."""
    doubled = np.zeros(len(owner), bool)
    if not len(owner):
        return doubled
    order = np.lexsort((parts, times, items, owner))
    begins = np.ones(len(order), bool)
    begins[1:] = False
    for key in (owner, items, times):
        begins[1:] |= key[order[1:]] != key[order[:-1]]
    latest = np.maximum.reduceat(parts[order], np.flatnonzero(begins))
    doubled[order] = parts[order] < latest[np.cumsum(begins) - 1]
    return doubled
