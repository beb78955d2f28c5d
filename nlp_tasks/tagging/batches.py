"""Batches of sentences in words, bucketed by length; the same for the same (seed, epoch, step)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches, gather, some_of
from nlp_tasks.inputs import Ints
from nlp_tasks.tagging.inputs import RaggedRows, WordInputs


class WordBatches:
    """Training batches: an epoch has every example once, or a sample of those without entities.

    Args:
        words: Inputs of the sentences.
        entities: ``[k, 4]``: example, first word, one past the last, type; sorted by example.
        batch_size: Examples per batch.
        seed: Of order and sample.
        negative_share: Share of the examples without entities in an epoch, sampled anew each time.
    """

    def __init__(
        self,
        words: WordInputs,
        entities: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        negative_share: float = 1.0,
    ) -> None:
        self.words, self.entities = words, RaggedRows(entities, len(words))
        negative = np.bincount(entities[:, 0], minlength=len(words)) == 0
        self._order = TextBatches(
            words.inputs,
            {"example": np.arange(len(words))},
            batch_size=batch_size,
            seed=seed,
            choose=None if negative_share == 1 else some_of(negative, negative_share),
            targets=words.lengths,
        )

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self._order.steps

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        for batch in self._order(epoch, first_step, rank, world):
            examples = batch.pop("example")
            yield _with_words(batch, self.words, examples) | {"entities": self.entities.of(examples)}


def word_batch(words: WordInputs, first_row: Ints, examples: Ints) -> dict[str, Any]:
    """Batch of some examples without targets.

    Returns:
        What ``gather`` gives, ``word_positions [examples, words]`` in the flattened rows and bool ``word_mask``; with a
        lexicon also ``matches [k, 4]``: example, first word, one past the last, row of the lexicon's embedding.
    """
    return _with_words(gather(words.inputs, first_row, examples), words, examples)


def _with_words(batch: dict[str, Any], words: WordInputs, examples: Ints) -> dict[str, Any]:
    first_row = np.searchsorted(batch["owner"], np.arange(len(examples)))
    positions, mask = words.word_positions(examples, first_row, batch["tokens"].shape[1])
    matches = {} if words.matches is None else {"matches": words.matches.of(examples)}
    return batch | {"word_positions": positions, "word_mask": mask} | matches
