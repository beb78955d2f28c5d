"""Batches of histories as integer arrays: bucketed by length, the same for the same (seed, epoch, step)."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from recsys_bert.clicks.histories import Histories, Ints, Rows
from recsys_bert.errors import InputError

Make = Callable[[Rows, Ints, Ints, np.random.Generator], dict[str, Any]]
"""``(items [batch, seq], lengths [batch], users [batch], random) -> batch``."""

_POOL = 32  # batches that are sorted by length together: little padding, and still well mixed


class HistoryBatches:
    """One epoch shows every user with enough training events once.

    Args:
        histories: Where the events lie.
        make: Turns gathered items into a batch, on a generator of its own.
        batch_size: Users per batch.
        length: Events shown of a user at most.
        min_length: Users with fewer training events are left out; ``n_skipped`` counts them.
        window: Which ``length`` events of a longer history: the newest, or any run of them, drawn anew every epoch.
        seed: Of order, windows and ``make``.

    Raises:
        InputError: No user has enough events.
    """

    def __init__(
        self,
        histories: Histories,
        make: Make,
        *,
        batch_size: int,
        length: int,
        min_length: int = 2,
        window: Literal["newest", "random"] = "newest",
        seed: int = 0,
    ) -> None:
        counts = histories.train_end - histories.offsets[:-1]
        self.users = np.flatnonzero(counts >= min_length)
        if not len(self.users):
            raise InputError(
                f"no user has {min_length} training events or more; there are {len(counts)} users. Prepare a "
                "larger log, or filter it less."
            )
        self.counts = counts[self.users]
        self.histories, self.make, self.batch_size = histories, make, batch_size
        self.length, self.window, self.seed = length, window, seed

    @property
    def n_skipped(self) -> int:
        """Users with too few training events."""
        return self.histories.n_users - len(self.users)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self.users) // self.batch_size)

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        random = np.random.default_rng([self.seed, epoch])
        order, batch_order = self._order(random)
        for step in range(first_step, self.steps):
            first = batch_order[step] * self.batch_size
            members = order[first : first + self.batch_size]
            own = np.random.default_rng([self.seed, epoch, step + 1])
            batch = self.make(*self._gather(members, own), self.users[members], own)
            yield batch if world == 1 else share(batch, rank, world)

    def _order(self, random: np.random.Generator) -> tuple[Ints, Ints]:
        """Shuffle, sort by length within pools of batches, shuffle the batches."""
        order = random.permutation(len(self.users))
        pool = np.arange(len(order)) // (self.batch_size * _POOL)
        shown = np.minimum(self.counts[order], self.length)
        return order[np.lexsort((shown, pool))], random.permutation(self.steps)

    def _gather(self, members: Ints, random: np.random.Generator) -> tuple[Rows, Ints]:
        users = self.users[members]
        start, stop = self.histories.offsets[users], self.histories.train_end[users]
        if self.window == "random":
            spare = np.maximum(stop - start - self.length, 0)
            stop = stop - random.integers(0, spare + 1)
        return self.histories.gather(start, stop, self.length)


def share(batch: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    """Every ``world``-th row of a batch, with ``positions`` and ``targets`` of those rows alone.

    Where a batch has fewer rows than there are processes, the ones left over get its first row with no targets to
    count, so that all of them take part in every step.
    """
    tokens = batch["tokens"]
    rows, seq = tokens.shape
    spare = rank >= rows
    mine = np.arange(1) if spare else np.arange(rank, rows, world)
    row, column = np.divmod(batch["positions"], seq)
    kept = np.flatnonzero(row == 0) if spare else np.flatnonzero(row % world == rank)
    taken = {name: value[mine] if _per_row(value, rows, name) else value for name, value in batch.items()}
    new_row = row[kept] // world
    taken |= {"positions": new_row * seq + column[kept], "targets": batch["targets"][kept]}
    return taken | {"n_targets": 0 if spare else len(kept)}


def _per_row(value: Any, rows: int, name: str) -> bool:
    shared = ("positions", "targets", "n_targets")
    return name not in shared and isinstance(value, np.ndarray) and len(value) == rows


def next_item(items: Rows, lengths: Ints, first_item: int) -> dict[str, Any]:
    """Next-item batch: every position but a history's last predicts what follows, unknown items left out.

    Args:
        items: ``[batch, seq]``, padded on the right, ``seq`` ≥ 2.
        lengths: ``[batch]``, each ≥ 2.
        first_item: Rows below it stand for many items: they are context, never an answer.

    Returns:
        ``tokens [batch, seq - 1]``, and ``positions`` and ``targets [n]`` of all histories.
    """
    tokens = np.where(np.arange(items.shape[1]) < lengths[:, None] - 1, items, 0)[:, :-1]
    following = items[:, 1:]
    positions = np.flatnonzero((tokens != 0) & (following >= first_item))
    targets = following.reshape(-1)[positions]
    return {"tokens": tokens, "positions": positions, "targets": targets, "n_targets": len(targets)}
