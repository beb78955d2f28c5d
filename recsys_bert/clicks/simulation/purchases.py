"""Purchases among the clicks: items differ in how often a click on them is a purchase."""

import numpy as np

from recsys_bert.clicks.simulation.world import Floats, World


def purchase_probabilities(world: World) -> Floats:
    """Probability that a click on each item is a purchase, ``[items]``.

    Log-odds are normal over the items around those of ``purchase_share``, with standard deviation ``purchase_spread``;
    with 0 all items are alike, and an event's type says nothing of its item.
    """
    config = world.config
    share, spread = config.purchase_share, config.purchase_spread
    if spread == 0.0 or share in (0.0, 1.0):
        return np.full(config.items, share)
    appeal = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(4,))).standard_normal(config.items)
    probabilities: Floats = 1.0 / (1.0 + np.exp(-(np.log(share / (1.0 - share)) + spread * appeal)))
    return probabilities
