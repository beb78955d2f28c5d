"""The click process: every user of a block at once, one click after the other.

What a user clicks next depends on that user's age group and earlier clicks and on nothing hidden, so
``oracle.py`` can state its probability exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.simulation.purchases import purchase_probabilities
from recsys_bert.clicks.simulation.world import (
    AGE_GROUPS,
    BASE,
    COUNTRIES,
    EXPLORE,
    SIBLING,
    STAY,
    SUCCESSOR,
    Ints,
    World,
)

BLOCK_USERS = 8_192
"""Users drawn together. Part of what a seed means: another value gives another log."""

FIRST_SECOND = 1_704_067_200
"""2024-01-01 00:00 UTC, the start of every log."""

SESSION_GAP_S = 1_800
"""A pause of at least so many seconds begins a new session; pauses within one are shorter."""

Longs = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Users with everything they did; ``items`` and ``times`` are right-padded with -1.

    Attributes:
        user: ``[users]`` ``user_id`` of each.
        group: ``[users]`` age group of each.
        country: ``[users]``; plays no part in anything.
        lengths: ``[users]`` clicks of each, descending within the block.
        items: ``[users, longest]`` item indices, oldest first.
        times: ``[users, longest]`` Unix seconds, strictly ascending.
        purchase: ``[users, longest]`` True where the event is a purchase.
        rng: The generator that drew the block, for what is drawn after it.
    """

    user: Longs
    group: Ints
    country: Ints
    lengths: Longs
    items: Ints
    times: Longs
    purchase: NDArray[np.bool_]
    rng: np.random.Generator


def blocks(world: World) -> Iterator[Block]:
    """Yield all users, ``BLOCK_USERS`` at a time, each block from its own generator."""
    for number, first in enumerate(range(0, world.config.users, BLOCK_USERS)):
        seed = np.random.SeedSequence(world.config.seed, spawn_key=(2, number))
        yield _block(world, first, min(BLOCK_USERS, world.config.users - first), np.random.default_rng(seed))


def _block(world: World, first: int, n: int, rng: np.random.Generator) -> Block:
    config = world.config
    group = rng.integers(0, len(AGE_GROUPS), n, dtype=np.int32)
    country = rng.integers(0, len(COUNTRIES), n, dtype=np.int32)
    lengths = config.min_events + rng.geometric(1.0 / (1.0 + config.mean_events - config.min_events), n) - 1
    lengths = -np.sort(-np.minimum(lengths, config.max_events))  # descending: users still active are a prefix
    shape = (n, int(lengths[0]))
    begins = rng.random(shape) < config.new_session
    begins[:, 0] = True
    items = np.full(shape, -1, np.int32)
    for step in range(shape[1]):
        active = int(np.searchsorted(-lengths, -step, side="left"))
        rows = np.arange(active)
        items[:active, step] = draw_unseen(
            world, rng, items[:, :step], rows, np.full(active, step), group[:active], begins[:active, step]
        )
    mask = np.arange(shape[1]) < lengths[:, None]
    times = np.where(mask, _times(config.days, lengths, begins, rng), -1)
    user = first + 1 + rng.permutation(n)  # an id tells nothing of how active its user is
    purchase = rng.random(shape) < purchase_probabilities(world)[items]  # past a user's last click they are not read
    return Block(user, group, country, lengths, items, times, purchase, rng)


def _times(days: float, lengths: Longs, begins: NDArray[np.bool_], rng: np.random.Generator) -> Longs:
    """Spread each user's sessions over about the rest of the log; ``[users, longest]`` Unix seconds."""
    n, longest = begins.shape
    start = rng.random(n) * days * 43_200  # the first half of the log
    sessions = np.maximum(1, (begins & (np.arange(longest) < lengths[:, None])).sum(1))
    pause = SESSION_GAP_S + rng.exponential(size=(n, longest)) * (days * 43_200 / sessions)[:, None]
    within = np.minimum(5 + rng.exponential(60.0, (n, longest)), SESSION_GAP_S - 1)
    gaps = np.where(begins, pause, within).astype(np.int64)
    gaps[:, 0] = start
    return FIRST_SECOND + np.cumsum(gaps, axis=1)


def draw_unseen(
    world: World,
    rng: np.random.Generator,
    past: Ints,
    rows: Longs,
    lengths: Longs,
    group: Ints,
    begins: NDArray[np.bool_],
) -> Ints:
    """Draw the next click of each user, never an item clicked before.

    A draw that was clicked before is rejected and repeated, so the probability of each unseen item is
    its own divided by that of all unseen items.

    Args:
        world: Fixed parameters.
        rng: Random generator.
        past: ``[users, longest]`` item indices, oldest first, right-padded with -1.
        rows: ``[n]`` rows of ``past`` to draw for.
        lengths: ``[n]`` number of earlier clicks.
        group: ``[n]`` age group.
        begins: ``[n]`` True where the click begins a session.

    Returns:
        ``[n]`` item indices.
    """
    items = draw(world, rng, past, rows, lengths, group, begins)
    open_ = np.arange(rows.size)
    while open_.size:
        # nobody has an item twice, so a row is found once at most; padding is no item
        open_ = open_[np.nonzero(past[rows[open_]] == items[open_, None])[0]]
        items[open_] = draw(world, rng, past, rows[open_], lengths[open_], group[open_], begins[open_])
    return items


def draw(
    world: World,
    rng: np.random.Generator,
    past: Ints,
    rows: Longs,
    lengths: Longs,
    group: Ints,
    begins: NDArray[np.bool_],
) -> Ints:
    """Draw one item for each row, clicked before or not; arguments as in ``draw_unseen``."""
    kind = (rng.random(rows.size)[:, None] >= np.cumsum(world.shares, axis=1)[begins.astype(int), :-1]).sum(1)
    leaf = _draw_leaf(world, rng, kind, past, rows, lengths, group)
    style = _draw_style(world, rng, past, rows, lengths)
    items = _draw_in_cell(world, rng, leaf * world.config.styles + style)
    explores = np.flatnonzero(kind == EXPLORE)
    items[explores] = draw_popular(world, rng, explores.size)
    follows = np.flatnonzero((kind == SUCCESSOR) & (lengths > 0))
    items[follows] = world.successor[past[rows[follows], lengths[follows] - 1]]
    return items


def draw_popular(world: World, rng: np.random.Generator, n: int) -> Ints:
    """Draw ``[n]`` items by popularity alone."""
    at = np.searchsorted(world.popularity_sums, rng.random(n) * world.popularity_sums[-1], side="right")
    return np.minimum(at, world.config.items - 1).astype(np.int32)


def _draw_leaf(
    world: World, rng: np.random.Generator, kind: Longs, past: Ints, rows: Longs, lengths: Longs, group: Ints
) -> Ints:
    config = world.config
    leaf = world.leaf[_recall(rng, past, rows, lengths, config.leaf_memory)] if past.shape[1] else np.zeros_like(group)
    of_group = np.flatnonzero((kind == BASE) | (lengths == 0))
    sums = np.cumsum(world.likes, axis=1) + np.arange(len(AGE_GROUPS))[:, None]  # one ascending line for all groups
    at = np.searchsorted(sums.ravel(), group[of_group] + rng.random(of_group.size), side="right")
    leaf[of_group] = np.clip(at - group[of_group] * world.n_leaves, 0, world.n_leaves - 1)
    near = np.flatnonzero(((kind == STAY) | (kind == SIBLING)) & (lengths > 0))
    leaf[near] = world.leaf[past[rows[near], lengths[near] - 1]]
    if config.leaves > 1:
        moved = near[kind[near] == SIBLING]
        top, place = np.divmod(leaf[moved], config.leaves)
        leaf[moved] = top * config.leaves + (place + rng.integers(1, config.leaves, moved.size)) % config.leaves
    return leaf


def _draw_style(world: World, rng: np.random.Generator, past: Ints, rows: Longs, lengths: Longs) -> Ints:
    style = rng.integers(0, world.config.styles, rows.size, dtype=np.int32)
    by_taste = np.flatnonzero((rng.random(rows.size) >= world.config.style_noise) & (lengths > 0))
    recalled = _recall(rng, past, rows[by_taste], lengths[by_taste], world.config.style_memory)
    style[by_taste] = world.style[recalled]
    return style


def _recall(rng: np.random.Generator, past: Ints, rows: Longs, lengths: Longs, memory: float) -> Ints:
    """Draw an earlier click of each row, the one ``lag`` clicks ago in proportion to ``memory ** lag``."""
    chance = rng.random(rows.size) * -np.expm1(lengths * np.log(memory))
    lag = np.minimum(np.log1p(-chance) / np.log(memory), np.maximum(lengths - 1, 0)).astype(np.int64)
    return past[rows, np.maximum(lengths - 1 - lag, 0)]


def _draw_in_cell(world: World, rng: np.random.Generator, cell: Ints) -> Ints:
    start, stop = world.cell_start[cell], world.cell_start[cell + 1]
    low, high = world.cell_sums[start], world.cell_sums[stop]
    at = np.searchsorted(world.cell_sums, low + rng.random(cell.size) * (high - low), side="right") - 1
    return world.by_cell[np.clip(at, start, stop - 1)]
