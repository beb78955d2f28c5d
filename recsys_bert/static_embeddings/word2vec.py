"""Skip-gram and CBOW with negative sampling (https://arxiv.org/abs/1301.3781, https://arxiv.org/abs/1310.4546).

CBOW gives each neighbour its share of the gradient of their mean, which word2vec and its followers forget
(https://arxiv.org/abs/2012.15332).
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.static_embeddings.config import Word2VecConfig
from recsys_bert.static_embeddings.sequences import Sequences, keep_chances, neighbours, noise_chances

_ROWS = 1 << 16  # rows of the sequences whose pairs are in memory, and mixed, at a time
_LONGEST_STEP = 1.0


class Word2Vec:
    """Two tables, and passes over sequences that move them.

    A step moves the rows that it has read and no others, so it costs the same whatever the size of the tables.
    Where a row occurs so often in one batch that its single steps add up to more than ``1`` times their mean, it goes
    that far and no further; else large batches of few words would overshoot.

    Args:
        sequences: Rows beside each other.
        config: The settings.

    Raises:
        InputError: No sequence has two rows.
    """

    def __init__(self, sequences: Sequences, config: Word2VecConfig) -> None:
        if len(sequences) == 0 or np.diff(sequences.offsets).max() < 2:
            raise InputError(
                f"none of {len(sequences):,} sequences has two known words or items: nothing stands beside anything."
            )
        self.sequences, self.config = sequences.cut(_ROWS), config
        counts = sequences.counts
        self.keep = keep_chances(counts, config.sample)
        self.noise = noise_chances(counts, config.noise_power)
        drawn = np.random.default_rng(config.seed).random((sequences.size, config.dim), np.float32)
        self.inputs = torch.from_numpy((drawn - 0.5) / config.dim)
        self.outputs = torch.zeros_like(self.inputs)
        self._times = torch.zeros(sequences.size)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors, ``[size, dim]``."""
        return self.inputs.numpy()

    def state(self) -> dict[str, Tensor]:
        """What it takes to go on after an epoch."""
        return {"inputs": self.inputs, "outputs": self.outputs}

    def epoch(self, number: int) -> float:
        """Go once over the sequences, in an order drawn for this epoch, counted from 0.

        Returns:
            Mean loss of a pair.
        """
        random = np.random.default_rng([self.config.seed, 1 + number])
        order, total = random.permutation(len(self.sequences)), len(self.sequences.rows)
        loss, pairs, done = torch.zeros((), dtype=torch.float64), 0, 0
        with Progress(f"epoch {number + 1} of {self.config.epochs}", total, "rows") as progress:
            for rows, owner in self.sequences.parts(order, _ROWS):
                given, targets = self._examples(rows, owner, random)
                for first in range(0, len(given), self.config.batch_size):
                    passed = (number + (done + len(rows) * first / len(given)) / total) / self.config.epochs
                    batch = slice(first, first + self.config.batch_size)
                    loss += self.step(given[batch], targets[batch], self.config.lr * max(1e-4, 1 - passed))
                pairs += len(given)
                done += len(rows)
                progress.advance(len(rows), loss=float(loss) / max(1, pairs))
        return float(loss) / max(1, pairs)

    def _examples(
        self, rows: NDArray[np.int32], owner: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Examples of a part, mixed: rows that predict, and what they predict; see ``step``."""
        kept = random.random(len(rows)) < self.keep[rows]  # before neighbours are sought, as word2vec does
        rows, owner = rows[kept], owner[kept]
        window = self.config.window
        places, there = neighbours(owner, random.integers(1, window + 1, len(rows)), window)
        if self.config.model == "skip_gram":
            centre, slot = np.nonzero(there)
            given, true = rows[centre, None], rows[places[centre, slot]]
        else:
            some = there.any(axis=1)
            given, true = np.where(there, rows[places], -1)[some], rows[some]
        order = random.permutation(len(true))
        targets = np.concatenate([true[:, None], self._noise_against(true, random)], axis=1)
        given, targets = given[order].astype(np.int64), targets[order]
        return torch.from_numpy(given), torch.from_numpy(targets)

    def _noise_against(self, true: NDArray[np.int32], random: np.random.Generator) -> NDArray[np.int64]:
        """Rows drawn against each true one, -1 where that is drawn itself, ``[n, negatives]``."""
        counts = random.multinomial(len(true) * self.config.negatives, self.noise)
        drawn = np.repeat(np.arange(len(counts)), counts)
        random.shuffle(drawn)  # as if drawn one by one, and faster
        against = drawn.reshape(len(true), self.config.negatives)
        return np.where(against == true[:, None], -1, against)

    def step(self, given: Tensor, targets: Tensor, lr: float) -> Tensor:
        """Move the rows of a batch down the gradient of ``-log σ(h · o₀) - Σ log σ(-h · oᵢ)``.

        Here h is the mean of the vectors of the rows that predict.

        Args:
            given: Rows that predict, ``[batch, n]``, -1 where there are fewer; at least one an example.
            targets: What they predict, the true row first, ``[batch, 1 + negatives]``; -1 for none.
            lr: Learning rate.

        Returns:
            The loss before.
        """
        there, mask = given >= 0, targets >= 0
        given, targets = given.clamp(min=0), targets.clamp(min=0)
        share = there / there.sum(dim=1, keepdim=True)  # of the mean, [batch, n]
        hidden = F.embedding_bag(given, self.inputs, per_sample_weights=share, mode="sum")
        logits = (F.embedding(targets, self.outputs) * hidden[:, None, :]).sum(dim=2)
        loss = _loss(logits, mask)
        error = torch.sigmoid(logits)
        error[:, 0] -= 1
        error *= mask
        to_hidden = F.embedding_bag(targets, self.outputs, per_sample_weights=error, mode="sum")
        self._move(self.outputs, targets, mask, error[:, :, None] * hidden[:, None, :], lr)
        self._move(self.inputs, given, there, to_hidden[:, None, :] * share[:, :, None], lr)
        return loss

    def _move(self, table: Tensor, rows: Tensor, mask: Tensor, gradient: Tensor, lr: float) -> None:
        rows, gradient = rows.flatten(), gradient.flatten(0, 1)
        self._times.index_fill_(0, rows, 0).index_add_(0, rows, mask.flatten().to(self._times.dtype))
        size = (_LONGEST_STEP / self._times[rows]).clamp_(max=lr)
        # scatter_add_ is several times faster than index_add_ on a CPU
        table.scatter_add_(0, rows[:, None].expand_as(gradient), gradient.mul_(-size[:, None]))


def _loss(logits: Tensor, mask: Tensor) -> Tensor:
    signed = logits.clone()
    signed[:, 0] *= -1
    return (F.softplus(signed) * mask).sum()
