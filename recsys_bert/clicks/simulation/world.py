"""Fixed part of a simulation: items, popularity, category tree, preferences of age groups."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_bert.clicks.simulation.config import SimulateConfig

AGE_GROUPS = ("under 18", "18-24", "25-34", "35-49", "50 and over")
COUNTRIES = ("A", "B", "C", "D")
N_OTHER_TAGS = 20

EXPLORE, SUCCESSOR, STAY, SIBLING, BASE, INTEREST = range(6)

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Arrays over items (axis ``items``), leaves and groups; an item's index is its ``item_id`` - 1.

    Attributes:
        leaf: ``[items]`` leaf category of each item; leaf // config.leaves is its top category.
        style: ``[items]`` style of each item.
        popularity: ``[items]`` probability of each item in a click that explores; Zipf in a random order of items.
        popularity_sums: ``[items]`` running sum of ``popularity``.
        within: ``[items]`` probability of each item among those of its leaf and style.
        by_cell: ``[items]`` items sorted by leaf and style.
        cell_sums: ``[items + 1]`` running sum of popularity in the order of ``by_cell``, from 0.
        cell_start: ``[cells + 1]`` where each cell begins in ``by_cell``.
        successor: ``[items]`` the item that follows, in the same leaf.
        likes: ``[groups, leaves]`` what each age group likes; rows sum to 1.
        shares: ``[2, 6]`` probability of each kind of click within a session (0) and where one begins (1).
        price: ``[items]`` standard normal logarithm of the price.
    """

    config: SimulateConfig
    leaf: Ints
    style: Ints
    popularity: Floats
    popularity_sums: Floats
    within: Floats
    by_cell: Ints
    cell_sums: Floats
    cell_start: NDArray[np.int64]
    successor: Ints
    likes: Floats
    shares: Floats
    price: Floats

    @property
    def n_leaves(self) -> int:
        """Leaves of the whole tree."""
        return self.config.categories * self.config.leaves


def make_world(config: SimulateConfig) -> World:
    """Draw the world that ``config`` and its seed stand for."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(0,)))
    n = config.items
    popularity = np.arange(1, n + 1, dtype=np.float64) ** -config.zipf
    popularity = rng.permutation(popularity / popularity.sum())
    cell = rng.permutation(np.arange(n) % config.cells)  # every cell gets an item
    leaf, style = (cell // config.styles).astype(np.int32), (cell % config.styles).astype(np.int32)
    by_cell = np.argsort(cell, kind="stable").astype(np.int32)
    mass = np.bincount(cell, weights=popularity, minlength=config.cells)
    return World(
        config=config,
        leaf=leaf,
        style=style,
        popularity=popularity,
        popularity_sums=np.cumsum(popularity),
        within=popularity / mass[cell],
        by_cell=by_cell,
        cell_sums=np.concatenate([[0.0], np.cumsum(popularity[by_cell])]),
        cell_start=np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=config.cells))]),
        successor=_successors(leaf, rng),
        likes=_likes(config, leaf, popularity, rng),
        shares=_shares(config),
        price=rng.standard_normal(n),
    )


def _successors(leaf: Ints, rng: np.random.Generator) -> Ints:
    """Next item in a random circle through each leaf; ``[items]``."""
    circle = np.lexsort((rng.random(leaf.size), leaf))
    following = np.roll(circle, -1)
    starts = np.flatnonzero(np.diff(leaf[circle], prepend=-1))
    following[np.append(starts[1:], leaf.size) - 1] = circle[starts]  # the last of a leaf leads to its first
    successor = np.empty(leaf.size, np.int32)
    successor[circle] = following
    return successor


def _likes(config: SimulateConfig, leaf: Ints, popularity: Floats, rng: np.random.Generator) -> Floats:
    """Popularity of each leaf, bent by what a group thinks of its top category; ``[groups, leaves]``."""
    n_leaves = config.categories * config.leaves
    popular = np.bincount(leaf, weights=popularity, minlength=n_leaves)
    taste = rng.gamma(0.5, size=(len(AGE_GROUPS), config.categories)) + 0.05
    likes = popular * np.repeat(taste, config.leaves, axis=1)
    return likes / likes.sum(1, keepdims=True)


def _shares(config: SimulateConfig) -> Floats:
    shares = np.zeros((2, 6))
    shares[:, EXPLORE] = config.explore
    shares[0, [SUCCESSOR, STAY, SIBLING]] = config.successor, config.stay, config.sibling
    shares[1, BASE] = config.base
    shares[:, INTEREST] = 1.0 - shares.sum(1)
    return shares


def item_table(world: World) -> pl.DataFrame:
    """Build ``item_id, title, category, category_path, tags, price``; ``tags`` holds the style and up to two others."""
    config, n = world.config, world.config.items
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(1,)))
    other = rng.integers(0, 2 * N_OTHER_TAGS, (2, n))  # half of them no tag at all
    tags = [pl.format("style-{}", pl.lit(pl.Series(world.style)))] + [
        pl.when(pl.lit(pl.Series(one < N_OTHER_TAGS))).then(pl.format("tag-{}", pl.lit(pl.Series(one))))
        for one in other
    ]
    table = pl.DataFrame({"item_id": np.arange(1, n + 1), "top": world.leaf // config.leaves, "leaf": world.leaf})
    table = table.with_columns(
        category=pl.format("category-{}", "top"),
        category_path=pl.format("category-{}/leaf-{}", "top", "leaf"),
        tags=pl.concat_list(tags).list.drop_nulls().list.unique(maintain_order=True),
        price=pl.Series(np.round(20.0 * np.exp(0.6 * world.price), 2)),
    )
    title = pl.format("item {} of {}", "item_id", "category_path").alias("title")
    return table.select("item_id", title, "category", "category_path", "tags", "price")
