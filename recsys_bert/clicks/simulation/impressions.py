"""Items shown to users; clicked, liked and bought or not, with the probability of each.

Impressions are a second log beside the clicks (a widget on other pages): what is clicked there does not enter the
click log and changes no preference. Only a clicked item can be liked, and only a liked one bought. Probabilities follow
from the item's and the user's columns, the impression's own, and the clicks before it.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from recsys_bert.clicks.simulation.oracle import recency
from recsys_bert.clicks.simulation.process import Block, Longs, draw, draw_popular
from recsys_bert.clicks.simulation.world import Floats, Ints, World

DEVICES = ("phone", "tablet", "desktop")
N_POSITIONS = 6
TASKS = ("click", "like", "buy")
"""Labels of an impression; each presupposes the one before it."""

_LEVEL, _LEAF, _STYLE, _POPULARITY, _POSITION = -2.3, 3.5, 2.5, 0.35, 0.15
_DEVICE = np.array([0.3, 0.0, -0.4])
_PRICE = np.array([-0.9, -0.5, 0.0, 0.2, 0.6])  # by age group: a crossing that no single column shows
_LIKE_LEVEL, _LIKE_STYLE, _LIKE_POPULARITY = -1.4, 4.0, -0.4  # taste in styles; what everybody has is liked less
_BUY_LEVEL, _BUY_LEAF, _BUY_PRICE = -1.2, 1.5, 1.5
_BUY_DEVICE = np.array([-0.5, 0.0, 0.7])  # looked at on phones, bought at desks


def draw_impressions(world: World, block: Block) -> pl.DataFrame:
    """Draw the impressions of a block's users.

    Returns:
        Columns ``user_id, item_id, timestamp, device, position, click, like, buy, click_probability, like_probability,
        buy_probability``. Each timestamp lies strictly between two clicks of the user, or after the last one. The
        probabilities are those before the impression: a like's is that of a click and a like.
    """
    later = block.rng.spawn(1)[0]  # likes and purchases, without moving what the block's own generator draws
    n_impressions = block.rng.poisson(world.config.impressions, block.lengths.size)
    parts = []
    for turn in range(int(n_impressions.max(initial=0))):  # one impression of every user at once
        parts.append(_one_each(world, block, np.flatnonzero(n_impressions > turn), later))
    return pl.concat(parts or [_one_each(world, block, np.empty(0, np.int64), later)])


def _one_each(world: World, block: Block, rows: Longs, later: np.random.Generator) -> pl.DataFrame:
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
    steps = step_probabilities(world, block.items[rows], before, block.group[rows], item, device, position)
    columns = {
        "user_id": block.user[rows],
        "item_id": item.astype(np.int64) + 1,
        "timestamp": timestamp,
        "device": pl.Series(DEVICES)[device.astype(np.int64)],
        "position": position.astype(np.int8),
    }
    return pl.DataFrame(columns | _labels(steps, rng, later))


def _labels(steps: Mapping[str, Floats], rng: np.random.Generator, later: np.random.Generator) -> dict[str, pl.Series]:
    """Draw the labels; columns of labels, then of their probabilities."""
    labels, probabilities = {}, {}
    happened, probability = np.array(True), np.array(1.0)
    for task, step in steps.items():
        happened = happened & ((rng if task == "click" else later).random(step.size) < step)
        probability = probability * step
        labels[task] = pl.Series(happened.astype(np.int8))
        probabilities[f"{task}_probability"] = pl.Series(probability)
    return labels | probabilities


def step_probabilities(
    world: World, past: Ints, lengths: Longs, group: Ints, item: Ints, device: Longs, position: Longs
) -> dict[str, Floats]:
    """Probability of each task, given ``lengths`` earlier clicks of ``past`` and the task before it; ``[n]`` each."""
    index = np.arange(past.shape[1])
    past = np.where(index < lengths[:, None], past, -1)
    shares = {}
    for name, label in (("leaf", world.leaf), ("style", world.style)):
        weights = recency(lengths, past.shape[1], getattr(world.config, f"{name}_memory"))
        shares[name] = (weights * (label[past] == label[item][:, None])).sum(1)
    popular = np.log(world.popularity[item] * world.config.items)
    affordable = _PRICE[group] * world.price[item]
    click = _LEVEL + _LEAF * shares["leaf"] + _STYLE * shares["style"] + _POPULARITY * popular
    click += _DEVICE[device] - _POSITION * (position - 1) + affordable
    like = _LIKE_LEVEL + _LIKE_STYLE * shares["style"] + _LIKE_POPULARITY * popular
    buy = _BUY_LEVEL + _BUY_LEAF * shares["leaf"] + _BUY_PRICE * affordable + _BUY_DEVICE[device]
    return {task: 1.0 / (1.0 + np.exp(-logit)) for task, logit in zip(TASKS, (click, like, buy), strict=True)}
