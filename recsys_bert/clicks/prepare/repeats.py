"""Repeats: events of one user on one item, of one type where the log has event types."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.config import FilterConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.times import PER_SECOND
from recsys_bert.errors import InputError

Mask = NDArray[np.bool_]


def repeats(events: Events, config: FilterConfig, parts: NDArray[np.uint8] | None = None) -> Mask:
    """True on the events that ``config.repeats`` drops.

    Args:
        events: Sorted events.
        config: Which of several events stays, and within what time.
        parts: Part of the split of each event, ``[n]``; events of two parts are no repeats of each other, so that
            nothing is dropped from training for what was held out. None: the split is not known yet.

    Raises:
        InputError: A time limit, and the log has no times.
    """
    if config.repeats_within is not None and events.times is None:
        raise InputError("filters.repeats_within needs a time column and this log has none. Name it with --log.time.")
    mask = np.zeros(len(events), bool)
    for users, part in events.chunks():
        owner = np.repeat(np.arange(users.stop - users.start), np.diff(events.offsets[users.start : users.stop + 1]))
        keys = [events.items[part], owner]
        keys += [] if events.types is None else [events.types[part]]
        keys += [] if parts is None else [parts[part]]
        order = np.arange(len(owner)) if config.repeats == "consecutive" else np.lexsort(keys[::-1])
        again = np.ones(max(len(order) - 1, 0), bool)  # of one item and user as the event before it in ``order``
        for key in keys:
            again &= key[order[1:]] == key[order[:-1]]
        if config.repeats_within is not None and events.times is not None:
            times = events.times[part][order]
            again &= np.diff(times) <= config.repeats_within * PER_SECOND
        chunk = np.zeros(len(order), bool)
        chunk[order[:-1] if config.repeats == "last" else order[1:]] = again
        mask[part] = chunk
    return mask


def reason(config: FilterConfig) -> str:
    """Reason of a dropped repeat, for the manifest."""
    within = "" if config.repeats_within is None else f" within {config.repeats_within:g} s"
    names: dict[str, str] = {"consecutive": "consecutive repeats", "first": "repeats", "last": "earlier of repeats"}
    return f"{names[config.repeats]}{within}"
