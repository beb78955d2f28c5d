"""Items shown to users, clicked or not, with the probability of the click.

Impressions are a second log beside the clicks (a widget on other pages): what is clicked there does not enter the
click log and changes no preference. The probability of a click follows from the item's and the user's columns, the
impression's own, and the clicks before it.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.simulation.oracle import recency
from recsys_bert.clicks.simulation.process import Block, Longs, draw, draw_popular
from recsys_bert.clicks.simulation.world import Floats, Ints, World

DEVICES = ("phone", "tablet", "desktop")
N_POSITIONS = 6

_LEVEL, _LEAF, _STYLE, _POPULARITY, _POSITION = -2.3, 3.5, 2.5, 0.35, 0.15
_DEVICE = np.array([0.3, 0.0, -0.4])
_PRICE = np.array([-0.9, -0.5, 0.0, 0.2, 0.6])  # by age group: a crossing that no single column shows


def draw_impressions(world: World, block: Block) -> pl.DataFrame:
    """Draw the impressions of a block's users.

    Returns:
        Columns ``user_id, item_id, timestamp, device, position, label, click_probability``. Each timestamp lies
        strictly between two clicks of the user, or after the last one.
    """
    n_impressions = block.rng.poisson(world.config.impressions, block.lengths.size)
    parts = []
    for turn in range(int(n_impressions.max(initial=0))):  # one impression of every user at once
        parts.append(_one_each(world, block, np.flatnonzero(n_impressions > turn)))
    return pl.concat(parts or [_one_each(world, block, np.empty(0, np.int64))])


def _one_each(world: World, block: Block, rows: Longs) -> pl.DataFrame:
    rng = block.rng
    before = rng.integers(1, block.lengths[rows] + 1)  # clicks that are over
    after = block.times[rows, np.minimum(before, block.lengths[rows] - 1)]
    last = block.times[rows, before - 1]
    after = np.where(before < block.lengths[rows], after, last + 3_600)
    timestamp = last + 1 + (rng.random(rows.size) * (after - last - 1)).astype(np.int64)
    item = draw(world, rng, block.items, rows, before, block.group[rows], rng.random(rows.size) < 0.5)
    random = np.flatnonzero(rng.random(rows.size) < 0.6)
    item[random] = draw_popular(world, rng, random.size)
    device = rng.choice(len(DEVICES), rows.size, p=[0.6, 0.1, 0.3])
    position = rng.integers(1, N_POSITIONS + 1, rows.size)
    probability = click_probability(world, block.items[rows], before, block.group[rows], item, device, position)
    clicked = rng.random(rows.size) < probability
    return _frame(block.user[rows], item + 1, timestamp, device, position, clicked, probability)


def click_probability(
    world: World, past: Ints, lengths: Longs, group: Ints, item: Ints, device: Longs, position: Longs
) -> Floats:
    """Probability that the item is clicked, given ``lengths`` earlier clicks of ``past``; ``[n]``."""
    index = np.arange(past.shape[1])
    past = np.where(index < lengths[:, None], past, -1)
    shares = {}
    for name, label in (("leaf", world.leaf), ("style", world.style)):
        weights = recency(lengths, past.shape[1], getattr(world.config, f"{name}_memory"))
        shares[name] = (weights * (label[past] == label[item][:, None])).sum(1)
    popular = np.log(world.popularity[item] * world.config.items)
    logit = _LEVEL + _LEAF * shares["leaf"] + _STYLE * shares["style"] + _POPULARITY * popular
    logit += _DEVICE[device] - _POSITION * (position - 1) + _PRICE[group] * world.price[item]
    return 1.0 / (1.0 + np.exp(-logit))


def _frame(
    user: Longs,
    item: Ints,
    timestamp: Longs,
    device: Longs,
    position: Longs,
    clicked: NDArray[np.bool_],
    probability: Floats,
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": user.astype(np.int64),
            "item_id": item.astype(np.int64),
            "timestamp": timestamp.astype(np.int64),
            "device": pl.Series(DEVICES)[device.astype(np.int64)],
            "position": position.astype(np.int8),
            "label": clicked.astype(np.int8),
            "click_probability": probability.astype(np.float64),
        }
    )
