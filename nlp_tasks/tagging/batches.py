"""Batches of sentences in units, bucketed by length; the same for the same (seed, epoch, step)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches, gather, some_of
from nlp_tasks.inputs import Ints
from nlp_tasks.tagging.inputs import Listed, UnitInputs


class UnitBatches:
    """One epoch shows every example once, or of those without entities a share that is drawn for it.

    Args:
        units: Rows of the sentences.
        entities: ``[k, 4]``: example, first unit, one past the last, type; by example.
        batch_size: Examples per batch.
        seed: Of order and choice.
        empty_share: Of the examples without entities that an epoch shows.
    """

    def __init__(
        self,
        units: UnitInputs,
        entities: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        empty_share: float = 1.0,
    ) -> None:
        self.units, self.entities = units, Listed(entities, len(units))
        empty = np.bincount(entities[:, 0], minlength=len(units)) == 0
        self._order = TextBatches(
            units.inputs,
            {"example": np.arange(len(units))},
            batch_size=batch_size,
            seed=seed,
            choose=None if empty_share == 1 else some_of(empty, empty_share),
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


def laid_out(batch: dict[str, Any], units: UnitInputs, examples: Ints) -> dict[str, Any]:
    """Add to a batch of rows where units are heard: ``places [examples, units]`` and bool ``real_units``.

    With a lexicon, also ``words [k, 4]``: example, first unit, one past the last, row of the word table.
    """
    first_row = np.searchsorted(batch["owner"], np.arange(len(examples)))
    places, mask = units.heard(examples, first_row, batch["tokens"].shape[1])
    words = {} if units.words is None else {"words": units.words.of(examples)}
    return batch | {"places": places, "real_units": mask} | words


def unit_batch(units: UnitInputs, first_row: Ints, examples: Ints) -> dict[str, Any]:
    """Rows of some examples and where their units are heard."""
    return laid_out(gather(units.inputs, first_row, examples), units, examples)
