"""Sequences of rows in one flat array, with subsampling, noise distribution and context windows of word2vec."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Sequences:
    """Concatenated sequences.

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
        """Count of each row, ``[size]``."""
        return np.bincount(self.rows, minlength=self.size)

    def cut(self, most: int) -> "Sequences":
        """Split sequences of more than ``most`` rows."""
        cuts = np.arange(0, len(self.rows), most)
        long = np.diff(self.offsets) > most
        cuts = cuts[long[np.searchsorted(self.offsets, cuts, side="right") - 1]]
        return replace(self, offsets=np.union1d(self.offsets, cuts))

    def parts(self, order: Ints, n: int) -> Iterator[tuple[Rows, Ints]]:
        """Split into parts of complete sequences with about ``n`` rows.

        Args:
            order: Order of the sequences, ``[n]``.
            n: Rows per part; a longer sequence is a part by itself.

        Yields:
            Rows ``[m]``, and the sequence of each, ``[m]``.
        """
        lengths = np.diff(self.offsets)[order]
        part = np.cumsum(lengths) // n
        for members in np.split(np.arange(len(order)), np.flatnonzero(np.diff(part)) + 1):
            first, length = self.offsets[order[members]], lengths[members]
            owner = np.repeat(np.arange(len(members)), length)
            offset = np.arange(len(owner)) - (np.cumsum(length) - length)[owner]
            yield self.rows[first[owner] + offset], owner


def keep_probabilities(counts: Ints, sample: float) -> NDArray[np.float64]:
    """Probability to keep a row in subsampling: ``min(1, √(t / f) + t / f)`` with its frequency f and t = ``sample``.

    As in word2vec's code; its paper (https://arxiv.org/abs/1310.4546) has ``√(t / f)``.
    """
    if sample == 0:
        return np.ones(len(counts))
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)


def noise_probabilities(counts: Ints, power: float) -> NDArray[np.float64]:
    """Noise distribution, proportional to ``counts ** power``; 0 for rows that never occur."""
    weights = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** power, 0.0)
    return weights / weights.sum()


def neighbours(owner: Ints, reach: Ints, window: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Positions in the context window of every position.

    Args:
        owner: Sequence of each position, sorted, ``[m]``.
        reach: Window of each position on either side, from 1 to ``window``, ``[m]``.
        window: Largest window.

    Returns:
        Positions ``[m, 2 · window]``, and a mask that is True for a neighbour of the same sequence within reach.
    """
    gaps = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
    positions = np.arange(len(owner))[:, None] + gaps
    inside = (positions >= 0) & (positions < len(owner)) & (np.abs(gaps) <= reach[:, None])
    positions = np.where(inside, positions, 0)
    return positions, inside & (owner[positions] == owner[:, None])
