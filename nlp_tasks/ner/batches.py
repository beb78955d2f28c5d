"""Batches of sentences in units, bucketed by length; the same for the same (seed, epoch, step)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches, gather
from nlp_tasks.inputs import Ints, offsets_of, ranges
from nlp_tasks.ner.inputs import UnitInputs


class UnitBatches:
    """One epoch shows every example once.

    Args:
        units: Rows of the sentences.
        entities: ``[k, 4]``: example, first unit, one past the last, type; by example.
        batch_size: Examples per batch.
        seed: Of the order.
    """

    def __init__(self, units: UnitInputs, entities: NDArray[np.int64], *, batch_size: int, seed: int) -> None:
        self.units, self.entities = units, Listed(entities, len(units))
        self._order = TextBatches(
            units.inputs,
            {"example": np.arange(len(units))},
            batch_size=batch_size,
            seed=seed,
            targets=units.lengths,
        )

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self._order.steps

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        for batch in self._order(epoch, first_step, rank, world):
            examples = batch.pop("example")
            yield laid_out(batch, self.units, examples) | {"entities": self.entities.of(examples)}


class Listed:
    """Rows of several numbers that belong to examples, the first number naming the example.

    Args:
        rows: ``[k, width]``, sorted by example.
        n: Examples.
    """

    def __init__(self, rows: NDArray[np.int64], n: int) -> None:
        self.rows, self._offsets = rows, offsets_of(np.bincount(rows[:, 0], minlength=n))

    def of(self, examples: Ints) -> NDArray[np.int64]:
        """Rows of some examples, ``[k, width]``, each example now named by its place among them."""
        counts = np.diff(self._offsets)[examples]
        found = self.rows[ranges(self._offsets[examples], counts)]
        return np.concatenate([np.repeat(np.arange(len(examples)), counts)[:, None], found[:, 1:]], axis=1)


def laid_out(batch: dict[str, Any], units: UnitInputs, examples: Ints) -> dict[str, Any]:
    """Add to a batch of rows where units are heard: ``places [examples, units]`` and bool ``real_units``."""
    first_row = np.searchsorted(batch["owner"], np.arange(len(examples)))
    places, real = units.heard(examples, first_row, batch["tokens"].shape[1])
    return batch | {"places": places, "real_units": real}


def unit_batch(units: UnitInputs, first_row: Ints, examples: Ints) -> dict[str, Any]:
    """Rows of some examples and where their units are heard."""
    return laid_out(gather(units.inputs, first_row, examples), units, examples)
