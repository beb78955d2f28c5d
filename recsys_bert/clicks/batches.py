"""Batches of histories as integer arrays: bucketed by length, the same for the same (seed, epoch, step)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.clicks.histories import Histories, Ints, Rows
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Shown:
    """What is shown of some users' histories.

    Args:
        items: ``[batch, seq]``, oldest first, padded with 0 on the right.
        lengths: Events shown of each, ``[batch]``.
        users: User rows, ``[batch]``.
        times: Unix seconds of the events, ``[batch, seq]``, padded likewise; None where nobody asked for them.
    """

    items: Rows
    lengths: Ints
    users: Ints
    times: Ints | None = None


Make = Callable[[Shown, np.random.Generator], dict[str, Any]]
"""``(shown, random) -> batch``."""

Crop = Literal["last", "random", "prefix"]

_POOL = 32  # batches that are sorted by length together: little padding, and still well mixed


class HistoryBatches:
    """One epoch shows every user with enough training events once.

    Args:
        histories: Where the events lie.
        make: Turns what is shown into a batch, on a generator of its own.
        batch_size: Users per batch.
        length: Events shown of a user at most.
        min_length: Users with fewer training events are left out; ``n_skipped`` counts them.
        crop: Which events are shown, at most ``length`` of them: the newest; of a longer history any run; or those up
            to any event from the ``min_length``-th on. Both of the latter are drawn anew every epoch.
        times: Whether the events' times are shown as well.
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
        crop: Crop = "last",
        times: bool = False,
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
        self.length, self.min_length, self.crop, self.seed = length, min_length, crop, seed
        self.times = times

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
        shown = self._shown(random)
        order, batch_order = self._order(np.minimum(shown, self.length), random)
        for step in range(first_step, self.steps):
            first = batch_order[step] * self.batch_size
            members = order[first : first + self.batch_size]
            own = np.random.default_rng([self.seed, epoch, step + 1])
            batch = self.make(self._gather(self.users[members], shown[members]), own)
            yield batch if world == 1 else share(batch, rank, world)

    def _gather(self, users: Ints, shown: Ints) -> Shown:
        start = self.histories.offsets[users]
        items, lengths = self.histories.gather(start, start + shown, self.length)
        times = self.histories.gather_times(start, start + shown, self.length) if self.times else None
        return Shown(items, lengths, users, times)

    def _shown(self, random: np.random.Generator) -> Ints:
        """How many of each user's training events lie before the end of what is shown."""
        if self.crop == "prefix":
            return random.integers(self.min_length, self.counts + 1)
        if self.crop == "random":
            return self.counts - random.integers(0, np.maximum(self.counts - self.length, 0) + 1)
        return self.counts

    def _order(self, lengths: Ints, random: np.random.Generator) -> tuple[Ints, Ints]:
        """Shuffle, sort by length within pools of batches, shuffle the batches."""
        order = random.permutation(len(self.users))
        pool = np.arange(len(order)) // (self.batch_size * _POOL)
        return order[np.lexsort((lengths[order], pool))], random.permutation(self.steps)


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


def next_item(items: Rows, lengths: Ints, first_item: int, times: Ints | None = None) -> dict[str, Any]:
    """Next-item batch: every position but a history's last predicts what follows, unknown items left out.

    Args:
        items: ``[batch, seq]``, padded on the right, ``seq`` ≥ 2.
        lengths: ``[batch]``, each ≥ 2.
        first_item: Rows below it stand for many items: they are context, never an answer.
        times: Unix seconds of the events, ``[batch, seq]``, where the encoder reads them.

    Returns:
        ``tokens [batch, seq - 1]``, given ``times`` those of the tokens, and ``positions`` and ``targets [n]`` of
        all histories.
    """
    tokens = np.where(np.arange(items.shape[1]) < lengths[:, None] - 1, items, 0)[:, :-1]
    following = items[:, 1:]
    positions = np.flatnonzero((tokens != 0) & (following >= first_item))
    targets = following.reshape(-1)[positions]
    batch = {"tokens": tokens, "positions": positions, "targets": targets, "n_targets": len(targets)}
    return batch if times is None else batch | {"times": times[:, :-1]}


def known_times(times: Ints, guessed: NDArray[np.bool_]) -> Ints:
    """Times of events some of which are to be guessed: those take the time of the last one before that is not.

    So it is at test time: the next item is asked for, nobody knows when it will be chosen, and the newest event's time
    stands in. Guessed events that no other one precedes keep their own time.

    Args:
        times: ``[batch, seq]``.
        guessed: True where the item is to be guessed, ``[batch, seq]``.
    """
    place = np.arange(times.shape[1])
    last_known = np.maximum.accumulate(np.where(guessed, -1, place), axis=1)
    return np.take_along_axis(times, np.where(last_known < 0, place, last_known), axis=1)
