"""Batches of examples of like length, the same for the same (seed, epoch, step), shared by processes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POOL = 32  # batches that are sorted by length together: little padding, and still well mixed

Ints = NDArray[np.int64]
Make = Callable[[Ints, np.random.Generator], dict[str, Any]]
"""``(examples [batch], random) -> batch``."""


def n_batches(examples: int, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-examples // batch_size)


def bucketed(examples: Ints, lengths: Ints, batch_size: int, random: np.random.Generator) -> list[Ints]:
    """Cut an epoch's examples into batches: shuffled, sorted by length within pools of batches, batches shuffled.

    Args:
        examples: ``[n]`` indices into ``lengths``.
        lengths: Length of every example.
        batch_size: Examples per batch; the last one of the sorted order may have fewer.
        random: Source of randomness.
    """
    order = random.permutation(examples)
    pool = np.arange(len(order)) // (batch_size * _POOL)
    order = order[np.lexsort((lengths[order], pool))]
    starts = random.permutation(n_batches(len(order), batch_size)) * batch_size
    return [order[start : start + batch_size] for start in starts]


def epoch_batches(
    parts: list[Ints], make: Make, seed: int, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1
) -> Iterator[dict[str, Any]]:
    """This process's share of an epoch's batches from ``first_step`` on; every batch has randomness of its own.

    Args:
        parts: Examples of each batch, as ``bucketed`` gives them.
        make: Makes a batch; the same on all processes, which then take their rows of it.
        seed: The run's seed.
        epoch: Number of the epoch.
        first_step: Batches to pass over.
        rank: Number of this process.
        world: Number of processes.
    """
    for step in range(first_step, len(parts)):
        batch = make(parts[step], np.random.default_rng([seed, epoch, step + 1]))
        yield batch if world == 1 else share(batch, rank, world)


def share(batch: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    """Every ``world``-th row of a batch, with ``positions`` and ``targets`` of those rows alone.

    If a batch has fewer rows than there are processes, those left over get its first row with no targets to count, so
    that all of them take part in every step.
    """
    tokens = batch["tokens"]
    rows, seq = tokens.shape
    spare = rank >= rows
    selected = np.arange(1) if spare else np.arange(rank, rows, world)
    row, column = np.divmod(batch["positions"], seq)
    kept_positions = np.flatnonzero(row == 0) if spare else np.flatnonzero(row % world == rank)
    part = {name: value[selected] if _per_row(value, rows, name) else value for name, value in batch.items()}
    new_row = row[kept_positions] // world
    part |= {"positions": new_row * seq + column[kept_positions], "targets": batch["targets"][kept_positions]}
    if "weights" in batch:
        weights = batch["weights"][kept_positions]
        part |= {"weights": weights, "total_weight": 0.0 if spare else float(weights.sum(dtype=np.float64))}
    return part | {"n_targets": 0 if spare else len(kept_positions)}


def _per_row(value: Any, rows: int, name: str) -> bool:
    shared = ("positions", "targets", "weights")
    return name not in shared and isinstance(value, np.ndarray) and len(value) == rows
