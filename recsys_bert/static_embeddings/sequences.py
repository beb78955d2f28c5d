"""Sequences of rows in one flat array, and what word2vec draws of them: which rows are kept, who is whose neighbour."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Sequences:
    """Sequences one after the other.

    Args:
        rows: Rows of a table of vectors, ``[total]``.
        offsets: ``[n + 1]``: sequence i has ``rows[offsets[i] : offsets[i + 1]]``.
        size: Rows of the table.
    """

    rows: Rows
    offsets: Ints
    size: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Ints:
        """How often each row occurs, ``[size]``."""
        return np.bincount(self.rows, minlength=self.size)

    def cut(self, most: int) -> "Sequences":
        """The same, with sequences of more than ``most`` rows cut into pieces."""
        cuts = np.arange(0, len(self.rows), most)
        long = np.diff(self.offsets) > most
        cuts = cuts[long[np.searchsorted(self.offsets, cuts, side="right") - 1]]
        return replace(self, offsets=np.union1d(self.offsets, cuts))

    def parts(self, order: Ints, n: int) -> Iterator[tuple[Rows, Ints]]:
        """Cut the sequences, in another order, into parts of some whole ones with about ``n`` rows.

        Args:
            order: The sequences, ``[n]``.
            n: Rows of a part; a longer sequence is one by itself.

        Yields:
            Rows ``[m]``, and which sequence each belongs to, ``[m]``.
        """
        lengths = np.diff(self.offsets)[order]
        part = np.cumsum(lengths) // n
        for members in np.split(np.arange(len(order)), np.flatnonzero(np.diff(part)) + 1):
            first, length = self.offsets[order[members]], lengths[members]
            owner = np.repeat(np.arange(len(members)), length)
            place = np.arange(len(owner)) - (np.cumsum(length) - length)[owner]
            yield self.rows[first[owner] + place], owner


def keep_chances(counts: Ints, sample: float) -> NDArray[np.float64]:
    """Chance of each row to be kept: ``√(t / f) + t / f``, 1 at most, f being its share of all and t ``sample``.

    This is what word2vec's program does; its paper (https://arxiv.org/abs/1310.4546) has ``√(t / f)``.
    """
    if sample == 0:
        return np.ones(len(counts))
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)


def noise_chances(counts: Ints, power: float) -> NDArray[np.float64]:
    """Chance of each row to be drawn as noise, in proportion to ``counts ** power``; what never occurs has none."""
    weights = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** power, 0.0)
    return weights / weights.sum()


def neighbours(owner: Ints, reach: Ints, window: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Places of the neighbours of every place.

    Args:
        owner: Sequence of each place, ascending, ``[m]``.
        reach: Neighbours of each on either side, from 1 to ``window``, ``[m]``.
        window: The most that there may be.

    Returns:
        Places ``[m, 2 · window]``, and whether there is a neighbour of the same sequence within reach.
    """
    gaps = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
    places = np.arange(len(owner))[:, None] + gaps
    inside = (places >= 0) & (places < len(owner)) & (np.abs(gaps) <= reach[:, None])
    places = np.where(inside, places, 0)
    return places, inside & (owner[places] == owner[:, None])
