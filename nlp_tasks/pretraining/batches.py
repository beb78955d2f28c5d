"""Examples of a corpus as batches of any objective, with or without a second loss on pairs of segments."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.pretraining.corpus import Corpus
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.bucketing import bucketed, epoch_batches, n_batches
from recsys_bert.errors import InputError
from recsys_bert.objectives.objective import Objective
from recsys_bert.objectives.segment_pairs import NO_PAIR, SecondLoss
from recsys_bert.objectives.sequences import Sequences, TokenTable

Ints = NDArray[np.integer[Any]]


class PretrainingBatches:
    """Examples with new masks, and new pairs, in every epoch; the same for the same (seed, epoch, step).

    Args:
        corpus: The examples.
        tokenizer: Knows the special tokens.
        objective: Makes inputs and targets.
        second_loss: Arranges pairs of segments; None: every example is one segment.
        batch_size: Examples per batch.
        seed: Seeds order, masks and pairs.

    Raises:
        InputError: The second loss needs pairs and no example has two sentences, or documents and there is but one.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        objective: Objective,
        second_loss: SecondLoss | None = None,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self.corpus, self.tokenizer, self.batch_size, self.seed = corpus, tokenizer, batch_size, seed
        self.objective, self.second_loss = objective, second_loss
        self._table = TokenTable(mask=tokenizer.mask, first=tokenizer.first_token, size=tokenizer.size)
        starts = np.flatnonzero(corpus.sentence_starts)
        self._cuts = starts[~np.isin(starts, corpus.offsets[:-1])]  # where an example may be cut in two
        self._first_cut = np.searchsorted(self._cuts, corpus.offsets)
        if second_loss is not None and not len(self._cuts):
            raise InputError("a second loss needs texts of two sentences or more; there is none.")
        if second_loss is not None and second_loss.needs_documents and corpus.document[0] == corpus.document[-1]:
            raise InputError("this second loss needs at least two documents; there is one.")

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return n_batches(len(self.corpus), self.batch_size)

    @property
    def without_pair(self) -> int:
        """Examples of one sentence, which the second loss leaves out."""
        return int((np.diff(self._first_cut) == 0).sum())

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """This process's share of the epoch's batches from ``first_step`` on."""
        random = np.random.default_rng([self.seed, epoch])
        parts = bucketed(np.arange(len(self.corpus)), self.corpus.lengths, self.batch_size, random)
        return epoch_batches(parts, self.batch, self.seed, epoch, first_step, rank, world)

    def batch(self, examples: Ints, random: np.random.Generator) -> dict[str, Any]:
        """Batch of some examples, as the objective makes it.

        Returns:
            See ``Objective.make_batch``; with a second loss also ``pair [batch]``: its label, or ``NO_PAIR``.
        """
        segments = [self._segments(int(example), random) for example in examples]
        batch = self.objective.make_batch(self._sequences([parts for parts, _ in segments]), self._table, random)
        if self.second_loss is not None:
            batch["pair"] = np.array([label for _, label in segments])
        return batch

    def _segments(self, example: int, random: np.random.Generator) -> tuple[list[slice], int]:
        """One or two ranges of the corpus' tokens, and the label of the pair."""
        first, stop = int(self.corpus.offsets[example]), int(self.corpus.offsets[example + 1])
        cuts = self._cuts[self._first_cut[example] : self._first_cut[example + 1]]
        if self.second_loss is None or not len(cuts):
            return [slice(first, stop)], NO_PAIR
        cut = int(random.choice(cuts))
        return self.second_loss.pair(
            slice(first, cut), slice(cut, stop), lambda: self._elsewhere(example, stop - cut, random), random
        )

    def _elsewhere(self, example: int, longest: int, random: np.random.Generator) -> slice:
        """Sentences of another document, at most ``longest`` tokens; the beginning of one if none is that short.

        Like the second segment of an example they end where a sentence does: else that would tell which is which.
        """
        corpus = self.corpus
        low, high = np.searchsorted(corpus.document, corpus.document[example] + np.array([0, 1]))
        source = int(random.integers(len(corpus) - (high - low)))
        source += high - low if source >= low else 0
        inner = self._cuts[self._first_cut[source] : self._first_cut[source + 1]]
        borders = np.array([corpus.offsets[source], *inner, corpus.offsets[source + 1]])
        starts = borders[:-1][np.diff(borders) <= longest]
        start = int(random.choice(starts if len(starts) else borders[:-1]))
        ends = borders[(borders > start) & (borders <= start + longest)]
        return slice(start, int(ends[-1]) if len(ends) else start + longest)

    def _sequences(self, rows: list[list[slice]]) -> Sequences:
        """Rows ``[CLS] a [SEP]`` or ``[CLS] a [SEP] b [SEP]``."""
        corpus, width = self.corpus, 1 + max(sum(part.stop - part.start + 1 for part in parts) for parts in rows)
        tokens, segments = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.int32)
        starts, special = np.ones((len(rows), width), bool), np.ones((len(rows), width), bool)
        tokens[:, 0] = self.tokenizer.cls
        for row, parts in enumerate(rows):
            position = 1
            for segment, part in enumerate(parts):
                stop = position + part.stop - part.start
                tokens[row, position:stop], tokens[row, stop] = corpus.ids[part], self.tokenizer.sep
                segments[row, position : stop + 1] = segment
                starts[row, position + 1 : stop] = corpus.word_starts[part][1:]  # a segment begins a word
                special[row, position:stop] = False
                position = stop + 1
        mask = tokens != 0
        return Sequences(
            tokens=tokens,
            lengths=mask.sum(axis=1),
            open_ended=False,
            allowed=~special & (tokens != self.tokenizer.unk),
            words=np.where(mask, np.cumsum(starts, axis=1) - 1, 0),
            segments=segments,
        )
