"""Sessions by time gap: each becomes a user of its own."""

from dataclasses import replace

import numpy as np
import polars as pl

from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.times import PER_SECOND
from recsys_bert.errors import InputError


def split_sessions(events: Events, minutes: float) -> Events:
    """Split histories where nothing happened for longer than ``minutes``.

    A session is called ``user@start``, with its first second (UTC), so that its name is the same whatever else the log
    holds. Users of the log are in ``log_user_ids``.

    Raises:
        InputError: The log has no times.
    """
    if events.times is None:
        raise InputError("log.session_minutes needs a time column and this log has none. Name it with --log.time.")
    starts = []
    for users, part in events.chunks():
        begins = np.diff(events.times[part], prepend=events.times[part.start]) > minutes * 60 * PER_SECOND
        begins[events.offsets[users.start : users.stop] - part.start] = True  # users without events do not occur here
        starts.append(part.start + np.flatnonzero(begins))
    start = np.concatenate([*starts, np.zeros(0, np.int64)])
    owner = np.searchsorted(events.offsets, start, side="right") - 1
    log_user_ids = events.user_ids.gather(owner).rename("log_user_id")
    seconds = pl.Series("start", events.times[start] // PER_SECOND)
    names = pl.DataFrame([log_user_ids, seconds]).select(
        pl.format("{}@{}", "log_user_id", pl.from_epoch("start").dt.strftime("%Y-%m-%dT%H:%M:%S")).alias("user_id")
    )["user_id"]
    order = names.arg_sort().to_numpy()  # user ids are sorted, and sessions are put into their order
    rows = replace(
        events,
        offsets=np.concatenate([start, [len(events)]]).astype(np.int64),
        user_ids=names,
        log_user_ids=log_user_ids,
    )
    return rows.in_order(order, "sessions")
