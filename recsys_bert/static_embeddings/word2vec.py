"""Skip-gram and CBOW with negative sampling (https://arxiv.org/abs/1301.3781, https://arxiv.org/abs/1310.4546).

CBOW scales each neighbour's gradient by its share of the mean, which word2vec and its followers omit
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
from recsys_bert.static_embeddings.sequences import Sequences, keep_probabilities, neighbours, noise_probabilities

_ROWS = 1 << 16  # rows of the sequences whose pairs are in memory, and mixed, at a time
_LONGEST_STEP = 1.0


class Word2Vec:
    """Word2vec model: input and output table.

    A step updates only the rows that it reads, so it costs the same at any table size. The steps of a row that occurs
    often in one batch are limited to once their mean in total; else large batches of few words would overshoot.

    Args:
        sequences: Sequences of rows.
        config: Settings.

    Raises:
        InputError: No sequence has two rows.
    """

    def __init__(self, sequences: Sequences, config: Word2VecConfig) -> None:
        if len(sequences) == 0 or np.diff(sequences.offsets).max() < 2:
            raise InputError(
                f"none of {len(sequences):,} sequences has two known words or items; there are no co-occurrences."
            )
        self.sequences, self.config = sequences.cut(_ROWS), config
        counts = sequences.counts
        self.keep = keep_probabilities(counts, config.sample)
        self.noise = noise_probabilities(counts, config.noise_power)
        uniform = np.random.default_rng(config.seed).random((sequences.size, config.dim), np.float32)
        self.inputs = torch.from_numpy((uniform - 0.5) / config.dim)
        self.outputs = torch.zeros_like(self.inputs)
        self._times = torch.zeros(sequences.size)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors ``[size, dim]``."""
        return self.inputs.numpy()

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        return {"inputs": self.inputs, "outputs": self.outputs}

    def epoch(self, number: int) -> float:
        """Train one epoch, counted from 0, in random order.

        Returns:
            Mean loss of a pair.
        """
        random = np.random.default_rng([self.config.seed, 1 + number])
        order, total = random.permutation(len(self.sequences)), len(self.sequences.rows)
        loss, pairs, done = torch.zeros((), dtype=torch.float64), 0, 0
        with Progress(f"epoch {number + 1} of {self.config.epochs}", total, "rows") as progress:
            for rows, owner in self.sequences.parts(order, _ROWS):
                inputs, targets = self._examples(rows, owner, random)
                for first in range(0, len(inputs), self.config.batch_size):
                    passed = (number + (done + len(rows) * first / len(inputs)) / total) / self.config.epochs
                    batch = slice(first, first + self.config.batch_size)
                    loss += self.step(inputs[batch], targets[batch], self.config.lr * max(1e-4, 1 - passed))
                pairs += len(inputs)
                done += len(rows)
                progress.advance(len(rows), loss=float(loss) / max(1, pairs))
        return float(loss) / max(1, pairs)

    def _examples(
        self, rows: NDArray[np.int32], owner: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Shuffled examples of a part: inputs and targets; see ``step``."""
        keep = random.random(len(rows)) < self.keep[rows]  # before the context windows, as in word2vec
        rows, owner = rows[keep], owner[keep]
        window = self.config.window
        positions, present = neighbours(owner, random.integers(1, window + 1, len(rows)), window)
        if self.config.model == "skip_gram":
            centre, slot = np.nonzero(present)
            inputs, true = rows[centre, None], rows[positions[centre, slot]]
        else:
            some = present.any(axis=1)
            inputs, true = np.where(present, rows[positions], -1)[some], rows[some]
        order = random.permutation(len(true))
        targets = np.concatenate([true[:, None], self._negatives(true, random)], axis=1)
        inputs, targets = inputs[order].astype(np.int64), targets[order]
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _negatives(self, true: NDArray[np.int32], random: np.random.Generator) -> NDArray[np.int64]:
        """Sample negatives of each target, -1 where the target itself is drawn: ``[n, negatives]``."""
        counts = random.multinomial(len(true) * self.config.negatives, self.noise)
        noise = np.repeat(np.arange(len(counts)), counts)
        random.shuffle(noise)  # equals drawing one by one, but faster
        negatives = noise.reshape(len(true), self.config.negatives)
        return np.where(negatives == true[:, None], -1, negatives)

    def step(self, inputs: Tensor, targets: Tensor, lr: float) -> Tensor:
        """Take one step on ``-log σ(h · o₀) - Σ log σ(-h · oᵢ)``, h the mean of the input vectors.

        Args:
            inputs: Input rows ``[batch, n]``, padded with -1; at least one per example.
            targets: Target row, then negatives, ``[batch, 1 + negatives]``; -1 = none.
            lr: Learning rate.

        Returns:
            Loss before the step.
        """
        present, mask = inputs >= 0, targets >= 0
        inputs, targets = inputs.clamp(min=0), targets.clamp(min=0)
        share = present / present.sum(dim=1, keepdim=True)  # of the mean, [batch, n]
        hidden = F.embedding_bag(inputs, self.inputs, per_sample_weights=share, mode="sum")
        logits = (F.embedding(targets, self.outputs) * hidden[:, None, :]).sum(dim=2)
        loss = _loss(logits, mask)
        error = torch.sigmoid(logits)
        error[:, 0] -= 1
        error *= mask
        to_hidden = F.embedding_bag(targets, self.outputs, per_sample_weights=error, mode="sum")
        self._move(self.outputs, targets, mask, error[:, :, None] * hidden[:, None, :], lr)
        self._move(self.inputs, inputs, present, to_hidden[:, None, :] * share[:, :, None], lr)
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
