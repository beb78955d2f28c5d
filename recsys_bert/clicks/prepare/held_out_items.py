"""Items held out from training: a share of them, drawn at random, is never seen, as items of tomorrow are."""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.prepare.config import SplitConfig
from recsys_bert.clicks.prepare.events import Events
from recsys_bert.clicks.prepare.filters import Filtered, filter_entry
from recsys_bert.clicks.prepare.splits import Borders, training_mask
from recsys_bert.errors import InputError

Mask = NDArray[np.bool_]


def hold_out_items(
    filtered: Filtered, borders: Borders, config: SplitConfig, side_ids: pl.Series | None
) -> tuple[Filtered, Borders]:
    """Drop the training events of ``config.hold_out_items`` of the items; held-out events on them stay targets.

    Drawn are items with a training event and a row in the side table, without which they would have no row at all.

    Args:
        filtered: Filtered events.
        borders: Their split.
        config: Share and seed.
        side_ids: Ids of the item side table, of the log's type.

    Raises:
        InputError: There is no side table of items, or the share leaves no item to draw or none to train on.
    """
    events = filtered.events
    is_drawn, n_items = _draw(events, borders, config, side_ids)
    left, n_dropped = np.ones(len(events), np.bool_), np.zeros(events.n_users, np.int64)
    for users, part in events.chunks():
        dropped = is_drawn[events.items[part]] & training_mask(events.offsets, borders.train_end, users, part)
        left[part] = ~dropped
        running = np.concatenate([[0], np.cumsum(dropped)])
        n_dropped[users] = np.diff(running[events.offsets[users.start : users.stop + 1] - part.start])
    rest = events.select(left, "hold_out_items")
    stays = np.diff(events.offsets) > n_dropped
    n_train = (borders.train_end - events.offsets[:-1] - n_dropped)[stays]
    if not n_train.any():
        raise InputError(f"split.hold_out_items is {config.hold_out_items}: no training event is left. Lower it.")
    train_end = rest.offsets[:-1] + n_train
    validation_end = train_end + (borders.validation_end - borders.train_end)[stays]
    reasons = {"training events on held-out items": int(n_dropped.sum())}
    entry = filter_entry("hold_out_items", events, rest, reasons)
    about = {**borders.entry, "held_out_items": int(is_drawn.sum()), "of_training_items": n_items, "seed": config.seed}
    if "users_for_training_only" in about:
        about["users_for_training_only"] -= int((~stays).sum())
    return replace(filtered, events=rest, log=[*filtered.log, entry]), Borders(train_end, validation_end, about)


def _draw(events: Events, borders: Borders, config: SplitConfig, side_ids: pl.Series | None) -> tuple[Mask, int]:
    """True on the item codes that are held out, and the number of items with a training event."""
    if side_ids is None:
        raise InputError(
            "split.hold_out_items needs a table of items: an item without training events and without features or text "
            "has no row that could be ranked. Pass it as items."
        )
    has_events = np.zeros(len(events.item_ids), np.bool_)
    for users, part in events.chunks():
        has_events[events.items[part][training_mask(events.offsets, borders.train_end, users, part)]] = True
    in_table = events.item_ids.is_in(side_ids.drop_nulls().implode()).to_numpy()
    candidates = np.flatnonzero(has_events & in_table)
    n_items = int(has_events.sum())
    n = round(config.hold_out_items * n_items)
    if not 1 <= n <= min(len(candidates), n_items - 1):
        raise InputError(
            f"split.hold_out_items is {config.hold_out_items}, {n:,} of {n_items:,} items with training events; "
            f"{len(candidates):,} of them are in the table of items. Choose a share that holds out one at least and "
            "leaves one to train on."
        )
    is_drawn = np.zeros(len(events.item_ids), np.bool_)
    is_drawn[np.random.default_rng(config.seed).choice(candidates, n, replace=False)] = True
    return is_drawn, n_items
