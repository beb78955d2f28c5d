"""Batches of histories as integer arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.bucketing import bucketed, epoch_batches, n_batches
from recsys_bert.clicks.histories import Histories, Ints, Rows
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Crops:
    """Parts of some users' histories.

    Args:
        items: ``[batch, seq]``, oldest first, padded with 0 on the right.
        lengths: Events of each, ``[batch]``.
        users: User rows, ``[batch]``.
        times: Unix seconds of the events, ``[batch, seq]``, padded likewise; None if they are not read.
        weights: Their weights, ``[batch, seq]``; None where all are 1, or are not read.
        event_types: Codes of their types, ``[batch, seq]``, 0 where there is none; None if they are not read.
    """

    items: Rows
    lengths: Ints
    users: Ints
    times: Ints | None = None
    weights: NDArray[np.float32] | None = None
    event_types: Rows | None = None


Make = Callable[[Crops, np.random.Generator], dict[str, Any]]
"""``(crops, random) -> batch``."""

Crop = Literal["last", "random", "prefix", "every"]


class HistoryBatches:
    """One epoch has every user with enough training events once, or every prefix of theirs.

    Batches hold examples of like length; see ``recsys_bert.bucketing``.

    Args:
        histories: All events.
        make: Turns crops into a batch, with randomness of its own.
        batch_size: Users, or prefixes, per batch.
        length: Events of a user at most.
        min_length: Users with fewer training events are left out; ``n_skipped`` counts them.
        crop: Events of a longer history: the last ones, a random run, or a random prefix of ``min_length`` events or
            more, the latter two drawn anew every epoch; or every such prefix, each an example of its own.
        times: Whether timestamps are read.
        weights: Whether event weights are read, if there are any.
        event_types: Whether event types are read.
        ends: For prefixes: True on events that one may end in, of all events ``[n_events]``; None: all.
        seed: Seeds order, crops and ``make``.

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
        weights: bool = True,
        event_types: bool = False,
        ends: NDArray[np.bool_] | None = None,
        seed: int = 0,
    ) -> None:
        counts = histories.train_end - histories.offsets[:-1]
        self.users: Ints = np.flatnonzero(counts >= min_length)
        self.counts: Ints = counts[self.users]
        """Training events of each example's user; before its end, if every prefix is one."""
        if crop == "every":
            self.users, self.counts = _prefixes(self.users, self.counts, min_length)
        if crop == "every" and ends is not None:
            selected = ends[histories.offsets[self.users] + self.counts - 1]
            self.users, self.counts = self.users[selected], self.counts[selected]
        if not len(self.users):
            ending = "" if ends is None else ", the last of them a target"
            raise InputError(
                f"no user has {min_length} training events or more{ending}; there are {len(counts)} users. Prepare a "
                "larger log, or filter it less."
            )
        self.n_skipped = histories.n_users - len(np.unique(self.users))
        """Users without an example: too few training events."""
        self.histories, self.make, self.batch_size = histories, make, batch_size
        self.length, self.min_length, self.crop, self.seed = length, min_length, crop, seed
        self.times, self.weights, self.event_types = times, weights, event_types

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return n_batches(len(self.users), self.batch_size)

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """This process's share of the epoch's batches from ``first_step`` on."""
        random = np.random.default_rng([self.seed, epoch])
        stops = self._stops(random)
        parts = bucketed(np.arange(len(self.users)), np.minimum(stops, self.length), self.batch_size, random)

        def make(members: Ints, random: np.random.Generator) -> dict[str, Any]:
            return self.make(self._gather(self.users[members], stops[members]), random)

        return epoch_batches(parts, make, self.seed, epoch, first_step, rank, world)

    def _gather(self, users: Ints, stops: Ints) -> Crops:
        histories, start = self.histories, self.histories.offsets[users]
        part = (start, start + stops, self.length)
        items, lengths = histories.gather(*part)
        return Crops(
            items,
            lengths,
            users,
            times=histories.gather_times(*part) if self.times else None,
            weights=histories.gather_weights(*part) if self.weights else None,
            event_types=histories.gather_event_types(*part) if self.event_types else None,
        )

    def _stops(self, random: np.random.Generator) -> Ints:
        """Training events before the end of each example."""
        if self.crop == "prefix":
            return random.integers(self.min_length, self.counts + 1)
        if self.crop == "random":
            return self.counts - random.integers(0, np.maximum(self.counts - self.length, 0) + 1)
        return self.counts


def _prefixes(users: Ints, counts: Ints, shortest: int) -> tuple[Ints, Ints]:
    """User and length of every prefix of ``shortest`` events or more."""
    n = counts - (shortest - 1)
    return np.repeat(users, n), np.arange(n.sum()) - np.repeat(n.cumsum() - n, n) + shortest
