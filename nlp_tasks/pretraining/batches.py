"""Masked words on plain text, with or without a second loss on pairs of segments."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.config import PretrainingConfig
from nlp_tasks.pretraining.corpus import Corpus
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.config import MaskingConfig
from recsys_bert.objectives.masking import choose_positions, corrupt
from recsys_bert.objectives.token_prediction import TokenPrediction, at
from recsys_bert.progress import Progress

_POOL = 32  # batches that are sorted by length together: little padding, and still well mixed
_NO_PAIR = -100

Ints = NDArray[np.integer[Any]]


class PretrainingBatches:
    """Examples with new masks, and new pairs, in every epoch; the same for the same (seed, epoch, step).

    Args:
        corpus: The examples.
        tokenizer: Knows the special tokens.
        task: Units and pairs.
        masking: How much is masked, and how.
        batch_size: Examples per batch.
        seed: Of order, masks and pairs.

    Raises:
        InputError: Pairs are asked for and no example has two sentences, or, for nsp, there is but one document.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        task: PretrainingConfig,
        masking: MaskingConfig,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self.corpus, self.task, self.masking, self.batch_size, self.seed = corpus, task, masking, batch_size, seed
        self.tokenizer = tokenizer
        starts = np.flatnonzero(corpus.sentence_starts)
        inner = starts[~np.isin(starts, corpus.offsets[:-1])]  # where an example may be cut in two
        self._cuts = inner
        self._first_cut = np.searchsorted(inner, corpus.offsets)
        if task.pair != "none" and not len(inner):
            raise InputError(f"task.pair {task.pair!r} needs texts of two sentences or more; there is none.")
        if task.pair == "nsp" and corpus.document[0] == corpus.document[-1]:
            raise InputError("task.pair 'nsp' needs at least two documents; there is one.")

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self.corpus) // self.batch_size)

    @property
    def without_pair(self) -> int:
        """Examples of one sentence, which learn from masks alone."""
        return int((np.diff(self._first_cut) == 0).sum())

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
        """Yield this process's share of the epoch's batches from ``first_step`` on."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.corpus))
        pool = np.arange(len(order)) // (self.batch_size * _POOL)
        order, batch_order = order[np.lexsort((self.corpus.lengths[order], pool))], random.permutation(self.steps)
        for step in range(first_step, self.steps):
            first = batch_order[step] * self.batch_size
            members = order[first : first + self.batch_size]
            own = members[rank::world]
            chance = np.random.default_rng([self.seed, epoch, step + 1, rank])
            batch = self.batch(own if len(own) else members[:1], chance)
            yield batch if len(own) else batch | {"n_targets": 0}

    def batch(self, examples: Ints, random: np.random.Generator) -> dict[str, Any]:
        """Rows of some examples, masked.

        Returns:
            ``tokens`` and ``segments`` int32 ``[batch, seq]``, ``positions`` and ``targets`` ``[n]``, ``n_targets``,
            and with pairs ``pair [batch]``: 1 for swapped halves or another document's, -100 where there is no pair.
        """
        halves = [self._halves(int(example), random) for example in examples]
        tokens, segments, units, special = self._laid_out([parts for parts, _ in halves])
        chosen = choose_positions(
            (tokens != 0).sum(axis=1),
            tokens.shape[1],
            self.masking,
            random,
            units=units,
            allowed=~special & (tokens != self.tokenizer.unk),
            at_least="any",
        )
        masked = corrupt(
            tokens,
            chosen,
            mask_token=self.tokenizer.mask,
            random_from=self.tokenizer.first_token,
            random_to=self.tokenizer.size,
            config=self.masking,
            random=random,
        )
        batch: dict[str, Any] = {"tokens": masked.tokens, "segments": segments, "positions": masked.positions}
        batch |= {"targets": masked.targets, "n_targets": len(masked.targets)}
        if self.task.pair != "none":
            batch["pair"] = np.array([label for _, label in halves])
        return batch

    def _halves(self, example: int, random: np.random.Generator) -> tuple[list[slice], int]:
        """One or two ranges of the corpus' tokens, and the label of the pair."""
        corpus = self.corpus
        first, stop = int(corpus.offsets[example]), int(corpus.offsets[example + 1])
        cuts = self._cuts[self._first_cut[example] : self._first_cut[example + 1]]
        if self.task.pair == "none" or not len(cuts):
            return [slice(first, stop)], _NO_PAIR
        cut, other = int(random.choice(cuts)), bool(random.random() < 0.5)
        one, two = slice(first, cut), slice(cut, stop)
        if not other:
            return [one, two], 0
        if self.task.pair == "sop":
            return [two, one], 1
        return [one, self._elsewhere(example, stop - cut, random)], 1

    def _elsewhere(self, example: int, most: int, random: np.random.Generator) -> slice:
        """Whole sentences of another document, at most ``most`` tokens; the beginning of one where none is that short.

        Like the second half of an example they end where a sentence does: else that would tell which is which.
        """
        corpus = self.corpus
        low, high = np.searchsorted(corpus.document, corpus.document[example] + np.array([0, 1]))
        chosen = int(random.integers(len(corpus) - (high - low)))
        chosen += high - low if chosen >= low else 0
        inner = self._cuts[self._first_cut[chosen] : self._first_cut[chosen + 1]]
        borders = np.array([corpus.offsets[chosen], *inner, corpus.offsets[chosen + 1]])
        starts = borders[:-1][np.diff(borders) <= most]
        start = int(random.choice(starts if len(starts) else borders[:-1]))
        ends = borders[(borders > start) & (borders <= start + most)]
        return slice(start, int(ends[-1]) if len(ends) else start + most)

    def _laid_out(
        self, rows: list[list[slice]]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], Ints, NDArray[np.bool_]]:
        """Tokens, segments, units counted from 0 in every row, and where special tokens are; ``[batch, seq]`` each."""
        corpus, width = self.corpus, 1 + max(sum(part.stop - part.start + 1 for part in parts) for parts in rows)
        tokens, segments = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.int32)
        starts, special = np.ones((len(rows), width), bool), np.ones((len(rows), width), bool)
        tokens[:, 0] = self.tokenizer.cls
        for row, parts in enumerate(rows):
            place = 1
            for segment, part in enumerate(parts):
                stop = place + part.stop - part.start
                tokens[row, place:stop], tokens[row, stop] = corpus.ids[part], self.tokenizer.sep
                segments[row, place : stop + 1] = segment
                starts[row, place + 1 : stop] = corpus.unit_starts[part][1:]  # a segment begins a unit
                special[row, place:stop] = False
                place = stop + 1
        return tokens, segments, np.cumsum(starts, axis=1) - 1, special


class TextPretraining(nn.Module):
    """Predicts masked tokens, tied to the token table, and with pairs also whether the second half belongs there.

    Args:
        encoder: The encoder.
        tokenizer: Its tokenizer.
        task: Whether there are pairs, and their weight.
        auxiliary: Share of the loss of masked tokens on the raw last layer; None = no such loss.
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, task: PretrainingConfig, auxiliary: float | None = None
    ) -> None:
        super().__init__()
        if task.pair != "none" and encoder.config.n_segments < 2:
            raise InputError(f"task.pair {task.pair!r} needs encoder.n_segments 2; it is {encoder.config.n_segments}.")
        self.prediction = TokenPrediction(encoder, LossConfig(), first_row=tokenizer.first_token, auxiliary=auxiliary)
        self.pair_weight = task.pair_weight
        width = encoder.out_dim
        pair = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
        self.pair = None if task.pair == "none" else pair

    @property
    def encoder(self) -> Encoder:
        """What is trained."""
        return self.prediction.encoder

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over the masked tokens, plus that over pairs."""
        encoded = self._encode(batch)
        loss = self.prediction.loss_of(encoded, batch)
        if self.pair is None:
            return loss
        return loss + self.pair_weight * _mean_known(self.pair(encoded.tokens[:, 0]), batch["pair"])

    def answers(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Logits of the masked tokens ``[n, rows from first_token on]``, and of pairs ``[batch, 2]``."""
        encoded = self._encode(batch)
        queries = self.prediction.queries(at(encoded.tokens, batch["positions"]))
        pair = None if self.pair is None else self.pair(encoded.tokens[:, 0])
        return queries @ self.prediction.items().T, pair

    def _encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        segments = batch["segments"] if self.encoder.config.n_segments > 1 else None
        encoded: EncoderOutput = self.encoder(batch["tokens"], segments=segments)
        return encoded


def _mean_known(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the pairs that are some; 0 without any."""
    known = (labels != _NO_PAIR).sum().clamp_min(1)
    return F.cross_entropy(logits.float(), labels, ignore_index=_NO_PAIR, reduction="sum") / known


def metrics(model: TextPretraining, batches: PretrainingBatches) -> dict[str, float]:
    """How well masked tokens are predicted, with the same masks every time.

    Returns:
        ``masked_accuracy``; ``log_likelihood``, the mean over masked tokens in nats; ``perplexity``; with pairs also
        ``pair_accuracy``.
    """
    device, was_training = next(model.parameters()).device, model.training
    right = total = pairs_right = pairs = 0
    log_p = 0.0
    model.eval()
    with torch.inference_mode(), Progress("measuring predictions", batches.steps, "batches") as progress:
        for values in batches(0):
            batch = {k: torch.from_numpy(v).to(device) if isinstance(v, np.ndarray) else v for k, v in values.items()}
            logits, pair = model.answers(batch)
            targets = batch["targets"].long() - model.prediction.first_row
            right += int((logits.argmax(dim=1) == targets).sum())
            log_p -= float(F.cross_entropy(logits.float(), targets, reduction="sum"))
            total += len(targets)
            if pair is not None:
                known = batch["pair"] != _NO_PAIR
                pairs_right += int((pair.argmax(dim=1) == batch["pair"])[known].sum())
                pairs += int(known.sum())
            progress.advance()
    model.train(was_training)
    mean = log_p / max(1, total)
    found = {"masked_accuracy": right / max(1, total), "log_likelihood": mean, "perplexity": float(np.exp(-mean))}
    return found | ({"pair_accuracy": pairs_right / pairs} if pairs else {})
