"""Splits into training, validation and test: per-user borders in the sorted events."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.lineage import FIRST_VALUE
from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.times import PER_SECOND, parse_timestamp
from recsys_bert.errors import InputError

Ints = NDArray[np.int64]
_BITS = 16  # bins of one pass over the times, as a power of two


@dataclass(frozen=True)
class Borders:
    """Ends of each user's training and validation events, absolute; test events follow.

    Args:
        train_end: ``[n_users]``.
        validation_end: ``[n_users]``.
        entry: Entry of the manifest.
    """

    train_end: Ints
    validation_end: Ints
    entry: dict[str, Any] = field(default_factory=dict)


def split_events(events: Events, config: SplitConfig, cut: tuple[int, int] | None) -> Borders:
    """Split the events.

    Args:
        events: The filtered log.
        config: Kind and borders.
        cut: Timestamps of a time cut, set before events were dropped by their counts.

    Raises:
        InputError: Nothing is left to train on, or nothing is held out.
    """
    if config.kind == "none":
        return Borders(events.offsets[1:], events.offsets[1:])
    if events.parts is not None:
        borders, advice = Borders(*ends_of_parts(events, None)), "log.test has no event that is left"
    elif cut is not None:
        borders = by_time(events, *cut)
        advice = f"no event is left at or after {iso(cut[1])}. Move split.test_from"
    elif config.target_types:
        borders = last_of_types(events, config)
        advice = f"no user has two events of type {' or '.join(config.target_types)} after another event"
    else:
        borders = leave_one_out(events.offsets, config)
        advice = f"no user has {config.min_events} events. Use more of the log, or pass --split.kind none"
    if not (borders.train_end - events.offsets[:-1]).any():
        where = "in log.train" if cut is None else f"before {iso(cut[0])}. Move split.validation_from"
        raise InputError(f"no event is left to train on {where}.")
    if not (events.offsets[1:] - borders.validation_end).any():
        raise InputError(f"nothing can be held out for test: {advice}.")
    if events.parts is None and config.validation and not (borders.validation_end - borders.train_end).any():
        raise InputError(
            "nothing is held out for validation. Move split.validation_from, or pass --split.no-validation."
        )
    return borders


def leave_one_out(offsets: Ints, config: SplitConfig) -> Borders:
    """Hold out the last event of each user for test and the one before for validation.

    Users with fewer than ``config.min_events`` events are used for training only, in both variants, so that
    *refit* tests the same users.
    """
    first, last = offsets[:-1], offsets[1:]
    long = last - first >= config.min_events
    validation_end = np.where(long, last - 1, last)
    train_end = np.where(long, last - 2, last) if config.validation else validation_end
    return Borders(train_end, validation_end, {"users_for_training_only": int((~long).sum())})


def cut_timestamps(events: Events, config: SplitConfig) -> tuple[int, int]:
    """Start of validation and of test of a time cut, in microseconds, rounded down to seconds.

    Raises:
        InputError: The log has no times, or the cuts leave nothing to train on or to test.
    """
    if events.times is None:
        raise InputError("split.kind 'time' needs a time column and this log has none. Name it with --log.time.")
    test = border(events, config.test_from)
    validation = border(events, config.validation_from) if config.validation else test
    if validation > test or (config.validation and validation == test):
        raise InputError(
            f"validation starts at {iso(validation)}, not before test at {iso(test)}. Move split.validation_from."
        )
    return validation, test


def by_time(events: Events, validation: int, test: int) -> Borders:
    """Cut all users at the same two timestamps: an event at or after one belongs to the later part."""
    return Borders(*ends_of_parts(events, (validation, test)), cut_entry(validation, test))


def parts_of(events: Events, cut: tuple[int, int] | None) -> NDArray[np.uint8] | None:
    """Part of every event, 0 training, 1 validation, 2 test; None where the last events of each user are held out."""
    if events.parts is not None or cut is None:
        return events.parts
    assert events.times is not None
    return np.searchsorted(np.array(cut), events.times, side="right").astype(np.uint8)


def ends_of_parts(events: Events, cut: tuple[int, int] | None) -> tuple[Ints, Ints]:
    """Ends of each user's training and validation events, of a time cut or of a split of one's own."""
    values, borders = (events.times, cut) if cut is not None else (events.parts, (1, 2))
    assert values is not None
    ends = np.empty((2, events.n_users), np.int64)
    for row, value in enumerate(borders):
        for users, part in events.chunks():
            before = np.concatenate([[0], np.cumsum(values[part] < value)])
            here = events.offsets[users.start : users.stop + 1] - part.start
            ends[row, users] = part.start + here[:-1] + np.diff(before[here])
    return ends[0], ends[1]


def last_of_types(events: Events, config: SplitConfig) -> Borders:
    """Hold out the last event of some types of each user for test, with all later ones, and the one before likewise.

    Users are used for training only, in both variants, where they have fewer than two such events, no event before
    them, or fewer than ``config.min_events`` in all.

    Raises:
        InputError: The log has no such type.
    """
    known = {name: code for code, name in enumerate(events.type_names, FIRST_VALUE)}
    if missing := [name for name in config.target_types if name not in known]:
        types = ", ".join(map(repr, known)) or "none: name their column with log.event"
        raise InputError(f"split.target_types has {missing[0]!r}; event types of the log are {types}.")
    assert events.types is not None
    codes = [known[name] for name in config.target_types]
    first, last = events.offsets[:-1], events.offsets[1:]
    final, before = np.full(events.n_users, -1), np.full(events.n_users, -1)
    for _, part in events.chunks():
        index = part.start + np.flatnonzero(np.isin(events.types[part], codes))
        owner = np.searchsorted(events.offsets, index, side="right") - 1
        ends = np.flatnonzero(np.diff(owner, append=-1) != 0)
        final[owner[ends]] = index[ends]
        second = ends[(ends > 0) & (owner[ends - 1] == owner[ends])]
        before[owner[second]] = index[second - 1]
    long = (before > first) & (last - first >= config.min_events)
    validation_end = np.where(long, final, last)
    train_end = np.where(long, before, last) if config.validation else validation_end
    entry = {"users_for_training_only": int((~long).sum()), "target_types": list(config.target_types)}
    return Borders(train_end, validation_end, entry)


def cut_entry(validation: int, test: int) -> dict[str, Any]:
    """Borders of a time cut, for the manifest."""
    return {
        "validation_from": validation // PER_SECOND,
        "test_from": test // PER_SECOND,
        "validation_from_iso": iso(validation),
        "test_from_iso": iso(test),
    }


def border(events: Events, at: str | float) -> int:
    """Microseconds of a date, or of a quantile of the events' times; rounded down to seconds."""
    timestamp = parse_timestamp(at) if isinstance(at, str) else quantile(events, at)
    return timestamp // PER_SECOND * PER_SECOND


def quantile(events: Events, share: float) -> int:
    """Time of the event at position ``floor(share * n)`` when all are in order of time; exact, without sorting them.

    Each pass counts the times in equal bins and continues within the bin that holds the position.
    """
    assert events.times is not None
    position = int(share * len(events))  # among the times from ``low`` on
    low, high = _extremes(events)
    while low < high:
        shift = max(0, (high - low).bit_length() - _BITS)
        counts = np.zeros((high - low >> shift) + 1, np.int64)
        for _, part in events.chunks():
            times = events.times[part]
            inside = times[(times >= low) & (times <= high)]
            counts += np.bincount(inside - low >> shift, minlength=len(counts))
        ends = np.cumsum(counts)
        n = int(np.searchsorted(ends, position, side="right"))
        position -= int(ends[n] - counts[n])
        low += n << shift
        high = min(high, low + (1 << shift) - 1)
    return low


def _extremes(events: Events) -> tuple[int, int]:
    assert events.times is not None
    parts = [(int(events.times[part].min()), int(events.times[part].max())) for _, part in events.chunks()]
    return min(low for low, _ in parts), max(high for _, high in parts)


def iso(timestamp: int) -> str:
    """ISO date of microseconds, to the second."""
    return str(np.datetime64(timestamp // PER_SECOND, "s"))


def training_mask(offsets: Ints, train_end: Ints, users: slice, events: slice) -> NDArray[np.bool_]:
    """True on the training events of one chunk."""
    lengths = np.diff(offsets[users.start : users.stop + 1])
    return np.arange(events.start, events.stop) < np.repeat(train_end[users], lengths)
