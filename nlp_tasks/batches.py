"""Batches of examples, bucketed by length; the same for the same (seed, epoch, step)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.inputs import Inputs, Ints
from recsys_bert.bucketing import bucketed, n_batches

Choose = Callable[[np.random.Generator], NDArray[np.int64]]
"""Samples the examples of one epoch; always as many."""


class TextBatches:
    """Epochs of all examples, or of a sample of them, bucketed by length.

    Args:
        inputs: Rows of the texts.
        values: Further arrays, ``[examples, …]`` by name: labels, ids.
        batch_size: Examples per batch.
        seed: Of order and sampling.
        choose: Samples the examples of an epoch; None takes all.
        texts: Texts of an example, each an example of ``inputs``: 2 where the texts of a pair are read by themselves.
        targets: Targets of each example, by which batches are weighted, ``[examples]``; None: 1 each.
    """

    def __init__(
        self,
        inputs: Inputs,
        values: Mapping[str, NDArray[Any]],
        *,
        batch_size: int,
        seed: int,
        choose: Choose | None = None,
        texts: int = 1,
        targets: NDArray[np.int64] | None = None,
    ) -> None:
        self.inputs, self.values, self.batch_size, self.seed, self.choose = inputs, values, batch_size, seed, choose
        self.texts = texts
        self._first_row = inputs.first_row
        self._longest = np.maximum.reduceat(inputs.lengths, self._first_row[:-1:texts])
        self._targets = np.ones(len(self._longest), np.int64) if targets is None else targets
        self._count = len(self._longest) if choose is None else len(choose(np.random.default_rng(seed)))

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return n_batches(self._count, self.batch_size)

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """This process's share of the epoch's batches from ``first_step`` on."""
        random = np.random.default_rng([self.seed, epoch])
        examples = np.arange(len(self._longest)) if self.choose is None else self.choose(random)
        for members in bucketed(examples, self._longest, self.batch_size, random)[first_step:]:
            local = members[rank::world]
            # a process left over in a small batch takes part in the step, but counts for nothing
            batch = self.batch(local if len(local) else members[:1])
            yield batch | {"n_targets": int(self._targets[local].sum())}

    def batch(self, examples: Ints) -> dict[str, Any]:
        """Rows and values of some examples.

        Returns:
            ``Inputs.gather``, ``owner [rows]`` as positions among the examples' texts, and the values.
        """
        texts = (examples[:, None] * self.texts + np.arange(self.texts)).reshape(-1)
        values = {name: value[examples] for name, value in self.values.items()}
        return gather(self.inputs, self._first_row, texts) | values


def some_of(sometimes: NDArray[np.bool_], share: float) -> Choose:
    """Sample a share of some examples every epoch; all others are in every epoch.

    Args:
        sometimes: ``[examples]`` True for those that are sampled.
        share: Of these, in [0, 1].
    """
    always, sampled = np.flatnonzero(~sometimes), np.flatnonzero(sometimes)
    size = round(share * len(sampled))

    def choose(random: np.random.Generator) -> NDArray[np.int64]:
        return np.sort(np.concatenate([always, random.choice(sampled, size, replace=False)]))

    return choose


def gather(inputs: Inputs, first_row: Ints, examples: Ints) -> dict[str, Any]:
    """All rows of some examples, padded, with ``owner [rows]``: the position of each row's example in ``examples``."""
    counts = first_row[examples + 1] - first_row[examples]
    owner = np.repeat(np.arange(len(examples)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return inputs.gather(first_row[examples][owner] + number) | {"owner": owner}


def reading_order(inputs: Inputs, tokens: int) -> Iterator[NDArray[np.int64]]:
    """Groups of examples of like length with about ``tokens`` tokens each, padding included.

    An example with more tokens than that is a group by itself.
    """
    first_row = inputs.first_row
    longest = np.maximum.reduceat(inputs.lengths, first_row[:-1]) if len(inputs) else np.empty(0, np.int64)
    order = np.argsort(-longest, kind="stable")
    rows = np.diff(first_row)[order]
    start = 0
    while start < len(order):
        most = max(1, tokens // int(longest[order[start]]))  # rows, all padded to the group's first and longest
        stop = start + max(1, int(np.searchsorted(np.cumsum(rows[start : start + most]), most, side="right")))
        yield order[start:stop]
        start = stop
