"""Which events stay: consecutive repeats, minimum counts, k-core."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.histories import ranges
from recsys_bert.clicks.prepare.config import FilterConfig, SplitConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.splits import by_time, timestamps, training_mask
from recsys_bert.errors import InputError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def repeats(events: Events) -> Mask:
    """True on events on the same item as the user's event just before."""
    found = np.zeros(len(events), bool)
    for _, part in events.chunks():
        items = events.items[part]
        found[part][1:] = items[1:] == items[:-1]
    found[events.offsets[:-1][np.diff(events.offsets) > 0]] = False
    return found


def counted(events: Events, ends: Ints) -> tuple[Ints, Ints]:
    """Events of each user and of each item among ``items[offsets[u]:ends[u]]``."""
    items = np.zeros(len(events.item_ids), np.int64)
    for users, part in events.chunks():
        mine = events.items[part][training_mask(events.offsets, ends, users, part)]
        items += np.bincount(mine, minlength=len(items))
    return ends - events.offsets[:-1], items


def core(events: Events, ends: Ints, min_user: int, min_item: int, iterate: bool) -> tuple[Mask, Mask]:
    """Users and items that have enough events among ``items[offsets[u]:ends[u]]``.

    Each round only undoes the events of users and items that fell in the round before, so that many rounds cost
    little more than one look each at the items.

    Args:
        events: All events.
        ends: End of each user's events that count.
        min_user: Events that a user needs.
        min_item: Events that an item needs.
        iterate: Go on until both hold (k-core); otherwise one round in which both are counted in the whole log.

    Returns:
        ``[n_users]`` and ``[n_items]``, True where enough.
    """
    user_counts, item_counts = counted(events, ends)
    users, items = np.ones(len(user_counts), bool), np.ones(len(item_counts), bool)
    while True:
        lost_users, lost_items = users & (user_counts < min_user), items & (item_counts < min_item)
        users &= ~lost_users
        items &= ~lost_items
        if not iterate or not (lost_users.any() or lost_items.any()):
            return users, items
        _undo_users(events, ends, lost_users, item_counts)
        if lost_items.any():
            _undo_items(events, ends, lost_items, user_counts)


def _undo_users(events: Events, ends: Ints, lost: Mask, item_counts: Ints) -> None:
    """Take the events of lost users out of the items' counts (those of lost items do not matter any more)."""
    which = np.flatnonzero(lost)
    for part in np.array_split(which, max(1, len(which) // 100_000)):
        start = events.offsets[part]
        gone = events.items[ranges(start, ends[part] - start)]
        item_counts -= np.bincount(gone, minlength=len(item_counts))


def _undo_items(events: Events, ends: Ints, lost: Mask, user_counts: Ints) -> None:
    """Take the events of lost items out of the users' counts (those of lost users do not matter any more)."""
    for _, part in events.chunks():
        hits = part.start + np.flatnonzero(lost[events.items[part]])
        owner = np.searchsorted(events.offsets, hits, side="right") - 1
        owner = owner[hits < ends[owner]]
        np.subtract.at(user_counts, owner, 1)


def kept(events: Events, ends: Ints, users: Mask, items: Mask) -> Mask:
    """Events to keep: those that did not count (from ``ends`` on), and those whose user and item have enough."""
    wanted = np.ones(len(events), bool)
    for chunk, part in events.chunks():
        counts = training_mask(events.offsets, ends, chunk, part)
        owners = np.repeat(users[chunk], np.diff(events.offsets[chunk.start : chunk.stop + 1]))
        wanted[part] = ~counts | (owners & items[events.items[part]])
    return wanted


@dataclass(frozen=True)
class Filtered:
    """Events that stay, and what each filter did.

    Args:
        events: The rest.
        cut: Moments (µs) from which on events are validation and test; None unless the split is by time.
        told: One entry per filter for the manifest.
    """

    events: Events
    cut: tuple[int, int] | None
    told: list[dict[str, Any]]


def filtered(events: Events, config: FilterConfig, split: SplitConfig) -> Filtered:
    """Drop repeats, then users and items with too few events.

    Raises:
        InputError: Nothing is left.
    """
    told = []
    if config.repeats == "drop":
        again = repeats(events)
        rest = events.keep(~again, "once")
        told.append(_entry("repeats", events, rest, {"consecutive repeats": int(again.sum())}))
        events = rest
    cut = timestamps(events, split) if split.kind == "time" else None
    if max(config.min_user_events, config.min_item_events) > 1:
        ends = by_time(events, *cut).train_end if cut else events.offsets[1:]
        enough = core(events, ends, config.min_user_events, config.min_item_events, config.k_core)
        rest = events.keep(kept(events, ends, *enough), "enough")
        lost = {
            f"{name} with too few events": int((~good).sum())
            for name, good in zip(("users", "items"), enough, strict=True)
        }
        told.append(_entry("k_core" if config.k_core else "minimum_counts", events, rest, lost))
        counting = int((ends - events.offsets[:-1]).sum())
        if counting - (len(events) - len(rest)) == 0:  # with a time cut, held-out events always stay
            kind = "training events" if cut else "events"
            raise InputError(
                f"none of {counting:,} {kind} is left after filters.min_user_events = {config.min_user_events} and"
                f" filters.min_item_events = {config.min_item_events}. Lower them, or pass --filters.no-k-core."
            )
        events = rest
    return Filtered(events, cut, told)


def _entry(name: str, before: Events, after: Events, reasons: dict[str, int]) -> dict[str, Any]:
    return {
        "filter": name,
        "events_in": len(before),
        "events_out": len(after),
        "users_in": before.n_users,
        "users_out": after.n_users,
        "reasons": reasons,
    }
