"""Filters of events: end of the test, leaks, repeats, minimum counts, k-core."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.histories import ranges
from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.own_split import find_leaks
from recsys_bert.clicks.prepare.repeats import reason, repeats
from recsys_bert.clicks.prepare.splits import border, cut_timestamps, ends_of_parts, iso, parts_of, training_mask
from recsys_bert.errors import InputError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def event_counts(events: Events, ends: Ints) -> tuple[Ints, Ints]:
    """Events of each user and of each item among ``items[offsets[u]:ends[u]]``."""
    items = np.zeros(len(events.item_ids), np.int64)
    for users, part in events.chunks():
        counted = events.items[part][training_mask(events.offsets, ends, users, part)]
        items += np.bincount(counted, minlength=len(items))
    return ends - events.offsets[:-1], items


def core(events: Events, ends: Ints, min_user: int, min_item: int, iterate: bool) -> tuple[Mask, Mask]:
    """Users and items that have enough events among ``items[offsets[u]:ends[u]]``.

    Each round only subtracts the events of users and items dropped in the round before, so that many rounds cost
    little more than one pass over the items.

    Args:
        events: All events.
        ends: End of each user's counted events.
        min_user: Minimum events of a user.
        min_item: Minimum events of an item.
        iterate: Repeat until both hold (k-core); otherwise one round in which both are counted in the full log.

    Returns:
        ``[n_users]`` and ``[n_items]``, True with enough events.
    """
    user_counts, item_counts = event_counts(events, ends)
    users, items = np.ones(len(user_counts), bool), np.ones(len(item_counts), bool)
    while True:
        dropped_users, dropped_items = users & (user_counts < min_user), items & (item_counts < min_item)
        users &= ~dropped_users
        items &= ~dropped_items
        if not iterate or not (dropped_users.any() or dropped_items.any()):
            return users, items
        _subtract_users(events, ends, dropped_users, item_counts)
        if dropped_items.any():
            _subtract_items(events, ends, dropped_items, user_counts)


def _subtract_users(events: Events, ends: Ints, dropped: Mask, item_counts: Ints) -> None:
    """Subtract events of dropped users from the items' counts; counts of dropped items are not read again."""
    rows = np.flatnonzero(dropped)
    for part in np.array_split(rows, max(1, len(rows) // 100_000)):
        start = events.offsets[part]
        items = events.items[ranges(start, ends[part] - start)]
        item_counts -= np.bincount(items, minlength=len(item_counts))


def _subtract_items(events: Events, ends: Ints, dropped: Mask, user_counts: Ints) -> None:
    """Subtract events of dropped items from the users' counts; counts of dropped users are not read again."""
    for _, part in events.chunks():
        hits = part.start + np.flatnonzero(dropped[events.items[part]])
        owner = np.searchsorted(events.offsets, hits, side="right") - 1
        owner = owner[hits < ends[owner]]
        np.subtract.at(user_counts, owner, 1)


def keep_mask(events: Events, ends: Ints, users: Mask, items: Mask) -> Mask:
    """True on events that are not counted (from ``ends`` on), and on those whose user and item have enough."""
    mask = np.ones(len(events), bool)
    for chunk, part in events.chunks():
        counted = training_mask(events.offsets, ends, chunk, part)
        owners = np.repeat(users[chunk], np.diff(events.offsets[chunk.start : chunk.stop + 1]))
        mask[part] = ~counted | (owners & items[events.items[part]])
    return mask


@dataclass(frozen=True)
class Filtered:
    """Filtered events.

    Args:
        events: Remaining events.
        cut: Timestamps (µs) at which validation and test start; None unless the split is by time.
        log: One entry per filter, for the manifest.
    """

    events: Events
    cut: tuple[int, int] | None
    log: list[dict[str, Any]]


def filter_events(events: Events, config: FilterConfig, split: SplitConfig) -> Filtered:
    """Drop repeats, then users and items with too few events.

    Raises:
        InputError: Nothing is left.
    """
    entries: list[dict[str, Any]] = []
    if events.parts is not None:
        leaks = find_leaks(events)
        events = _drop(events, leaks.held_out_too, "leaks", "training events that are held out too", entries)
        entries[-1]["counts"] = leaks.counts
    if config.repeats in ("consecutive", "first"):
        events = _drop(events, repeats(events, config), "repeats", reason(config), entries)
    cut = cut_timestamps(events, split) if split.kind == "time" else None
    if cut is not None and split.test_until is not None:
        events = _drop(
            events, _after_test(events, split.test_until, cut), "test_until", "events after the test", entries
        )
    if config.repeats == "last":  # not for an event that is held out: parts have to be known
        repeated = repeats(events, config, parts_of(events, cut))
        events = _drop(events, repeated, "repeats", reason(config), entries)
    if max(config.min_user_events, config.min_item_events) > 1:
        events = _with_enough(events, config, cut, entries)
    return Filtered(events, cut, entries)


def _after_test(events: Events, end: str | float, cut: tuple[int, int]) -> Mask:
    """True on events from the end of the test on."""
    assert events.times is not None
    timestamp = border(events, end)
    if timestamp <= cut[1]:
        raise InputError(f"test ends at {iso(timestamp)}, not after its start at {iso(cut[1])}. Move split.test_until.")
    return events.times >= timestamp


def _with_enough(
    events: Events, config: FilterConfig, cut: tuple[int, int] | None, entries: list[dict[str, Any]]
) -> Events:
    """Drop users and items with too few events."""
    known = parts_of(events, cut) is not None
    ends = ends_of_parts(events, cut)[0] if known else events.offsets[1:]
    enough = core(events, ends, config.min_user_events, config.min_item_events, config.k_core)
    rest = events.select(keep_mask(events, ends, *enough), "enough")
    reasons = {
        f"{name} with too few events": int((~mask).sum()) for name, mask in zip(("users", "items"), enough, strict=True)
    }
    entries.append(filter_entry("k_core" if config.k_core else "minimum_counts", events, rest, reasons))
    n_counted = int((ends - events.offsets[:-1]).sum())
    if n_counted - (len(events) - len(rest)) == 0:  # with a time cut, held-out events always stay
        kind = "training events" if known else "events"
        raise InputError(
            f"none of {n_counted:,} {kind} is left after filters.min_user_events = {config.min_user_events} and"
            f" filters.min_item_events = {config.min_item_events}. Lower them, or pass --filters.no-k-core."
        )
    return rest


def _drop(events: Events, mask: Mask, name: str, reason: str, entries: list[dict[str, Any]]) -> Events:
    """Drop the events where ``mask`` holds, with an entry for the manifest."""
    n_dropped = int(mask.sum())
    rest = events.select(~mask, name) if n_dropped else events
    entries.append(filter_entry(name, events, rest, {reason: n_dropped}))
    return rest


def filter_entry(name: str, before: Events, after: Events, reasons: dict[str, int]) -> dict[str, Any]:
    """Entry of a filter in the manifest."""
    return {
        "filter": name,
        "events_in": len(before),
        "events_out": len(after),
        "users_in": before.n_users,
        "users_out": after.n_users,
        "reasons": reasons,
    }
