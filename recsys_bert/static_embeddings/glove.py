"""GloVe (https://aclanthology.org/D14-1162)."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.static_embeddings.config import GloveConfig
from recsys_bert.static_embeddings.sequences import Sequences

_ROWS = 1 << 18  # rows of the sequences that are counted at a time


def co_occurrences(sequences: Sequences, window: int) -> sparse.coo_array:
    """Co-occurrence counts within a window, 1 / d for a pair at distance d, symmetric: ``[size, size]``."""
    shape = (sequences.size, sequences.size)
    counts, sequences = sparse.csr_array(shape), sequences.cut(_ROWS)
    with Progress("counting neighbours", len(sequences.rows), "rows") as progress:
        for rows, owner in sequences.parts(np.arange(len(sequences)), _ROWS):
            gaps = np.arange(1, window + 1)
            apart = [owner[gap:] == owner[:-gap] for gap in gaps]
            before = np.concatenate([rows[:-gap][same] for gap, same in zip(gaps, apart, strict=True)])
            after = np.concatenate([rows[gap:][same] for gap, same in zip(gaps, apart, strict=True)])
            weights = np.repeat(1 / gaps, [same.sum() for same in apart])
            counts = counts + sparse.csr_array((weights, (before, after)), shape)
            progress.advance(len(rows))
    return (counts + counts.T).tocoo()


class Glove:
    """GloVe model: two tables with biases, trained by AdaGrad on log co-occurrence counts.

    Args:
        sequences: Sequences of rows.
        config: Settings.

    Raises:
        InputError: No sequence has two rows.
    """

    def __init__(self, sequences: Sequences, config: GloveConfig) -> None:
        self.config = config
        self.counts = co_occurrences(sequences, config.window)
        if not self.counts.nnz:
            raise InputError(
                f"none of {len(sequences):,} sequences has two known words or items; there are no co-occurrences."
            )
        # the last column of a table is the bias
        uniform = np.random.default_rng(config.seed).random((2, sequences.size, config.dim + 1), np.float32)
        self.words, self.contexts = torch.from_numpy((uniform - 0.5) / config.dim)
        # sums of squared gradients begin at 1, as in the authors' program
        self._word_squares, self._context_squares = torch.ones_like(self.words), torch.ones_like(self.contexts)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors ``[size, dim]``: sums of both tables, as in the paper."""
        summed: NDArray[np.float32] = (self.words + self.contexts)[:, :-1].numpy()
        return summed

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        squares = {"word_squares": self._word_squares, "context_squares": self._context_squares}
        return {"words": self.words, "contexts": self.contexts} | squares

    def epoch(self, number: int) -> float:
        """Train one epoch, counted from 0, in random order.

        Returns:
            Mean loss of a pair.
        """
        order = np.random.default_rng([self.config.seed, 1 + number]).permutation(self.counts.nnz)
        (rows, columns), values = self.counts.coords, self.counts.data.astype(np.float32)
        loss = torch.zeros((), dtype=torch.float64)
        with Progress(f"epoch {number + 1} of {self.config.epochs}", len(order), "pairs") as progress:
            for first in range(0, len(order), self.config.batch_size):
                batch = order[first : first + self.config.batch_size]
                row, column, count = (torch.from_numpy(part[batch]) for part in (rows, columns, values))
                loss += self.step(row, column, count)
                progress.advance(len(batch), loss=float(loss) / (first + len(batch)))
        return float(loss) / len(order)

    def step(self, row: Tensor, column: Tensor, counts: Tensor) -> Tensor:
        """Take one step on ``Σ f(x) (w · c + b_w + b_c - log x)²``.

        Here ``f(x)`` is ``min(1, x / x_max) ** alpha``.

        Args:
            row: Rows of words, ``[n]``.
            column: Rows of contexts, ``[n]``.
            counts: x of each pair, ``[n]``.

        Returns:
            Loss before the step.
        """
        word, context = self.words.index_select(0, row), self.contexts.index_select(0, column)
        fitted = (word[:, :-1] * context[:, :-1]).sum(dim=1) + word[:, -1] + context[:, -1]
        difference = fitted - counts.log()
        weights = (counts / self.config.x_max).clamp(max=1) ** self.config.alpha
        slope = (2 * weights * difference)[:, None]
        word[:, -1] = context[:, -1] = 1  # what a bias is multiplied with
        self._move(self.words, self._word_squares, row, slope * context)
        self._move(self.contexts, self._context_squares, column, slope * word)
        return (weights * difference.square()).sum()

    def _move(self, table: Tensor, squares: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """Take a step of AdaGrad (https://jmlr.org/papers/v12/duchi11a.html) for the rows that have a gradient."""
        rows, index = rows.unique(return_inverse=True)
        summed = torch.zeros(len(rows), gradient.shape[1])
        summed.scatter_add_(0, index[:, None].expand_as(gradient), gradient)
        squares.index_add_(0, rows, summed.square())
        table.index_add_(0, rows, summed / squares.index_select(0, rows).sqrt(), alpha=-self.config.lr)
