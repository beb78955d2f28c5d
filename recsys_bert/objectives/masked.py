"""Masked tokens as BERT's (https://arxiv.org/abs/1810.04805) and, for clicks, BERT4Rec's (https://arxiv.org/abs/1904.06690)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recsys_bert.encoder.batch import FEATURE
from recsys_bert.errors import InputError
from recsys_bert.objectives.masking import choose_positions, corrupt
from recsys_bert.objectives.sequences import Bools, Ints, Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Mask some positions and predict their tokens from both sides.

    A sequence is masked in one of four ways, drawn per sequence: its last position only (the query at test time),
    spans, n-grams, or independent positions. With words, each of these counts words, and all of a word is masked.

    Args:
        mask_prob: Share of positions to predict, in (0, 1); None: 0.2 of a history, 0.15 of a text.
        last_only_prob: Share of sequences in which only the last position is masked; None: 0.1 of histories, no text.
        span_prob: Share of sequences whose masks are spans of any length (SpanBERT).
        span_length: Mean length of a span; lengths are geometric.
        ngram_prob: Share of sequences whose masks are n-grams of at most ``ngram_max`` positions (ALBERT).
        ngram_max: Longest n-gram; one of n positions is drawn in proportion to 1 / n.
        replace_prob: Share of predicted positions with a random token in place of the mask; drawn per position.
        keep_prob: Share of predicted positions that keep their token; drawn per position.
    """

    mask_prob: float | None = None
    last_only_prob: float | None = None
    span_prob: float = 0.0
    span_length: float = 3.0
    ngram_prob: float = 0.0
    ngram_max: int = 3
    replace_prob: float = 0.1
    keep_prob: float = 0.1

    attention: ClassVar[str] = "bidirectional"
    appends_mask: ClassVar[bool] = True
    extra_events: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check_mask_prob(self.mask_prob)
        for names in (("last_only_prob", "span_prob", "ngram_prob"), ("replace_prob", "keep_prob")):
            shares = [getattr(self, name) or 0.0 for name in names]
            if min(shares) < 0 or sum(shares) > 1:
                raise InputError(
                    f"objective_options: {' + '.join(names)} is {' + '.join(map(str, shares))}; each ≥ 0, sum ≤ 1."
                )
        for name in ("span_length", "ngram_max"):
            if getattr(self, name) < 1:
                raise InputError(f"objective_options: {name} is {getattr(self, name)}; it must be at least 1 position.")
        for name, share, default in (("span_length", "span_prob", 3.0), ("ngram_max", "ngram_prob", 3)):
            if getattr(self, name) != default and not getattr(self, share):
                raise InputError(f"objective_options: {name} has no effect with {share} 0; leave it out.")

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Corrupted inputs, and the original tokens as targets. See ``Objective``."""
        masked = self._choose(sequences, random)
        tokens, positions, targets = corrupt(
            sequences.tokens, masked, table, random, replace_prob=self.replace_prob, keep_prob=self.keep_prob
        )
        batch: dict[str, Any] = {"tokens": tokens, "positions": positions, "targets": targets}
        batch |= {"n_targets": len(targets)} | sequences.target_weights(positions)
        return batch | context(sequences, masked)

    def module(self, prediction: TokenPrediction) -> TokenPrediction:
        """Train the prediction itself."""
        return prediction

    def _choose(self, sequences: Sequences, random: np.random.Generator) -> Bools:
        last_only = self.last_only_prob
        if last_only is None:
            last_only = min(0.1, 1 - self.span_prob - self.ngram_prob) if sequences.open_ended else 0.0
        return choose_predicted(
            sequences,
            random,
            mask_prob=default_mask_prob(self.mask_prob, sequences.open_ended),
            last_only_prob=last_only,
            span_prob=self.span_prob,
            span_length=self.span_length,
            ngram_prob=self.ngram_prob,
            ngram_max=self.ngram_max,
        )


def check_mask_prob(mask_prob: float | None) -> None:
    """Refuse a share of masked positions outside (0, 1)."""
    if mask_prob is not None and not 0 < mask_prob < 1:
        raise InputError(f"objective_options: mask_prob is {mask_prob}; it must lie between 0 and 1, both excluded.")


def default_mask_prob(mask_prob: float | None, open_ended: bool) -> float:
    """Share of masked positions: as set, or 0.2 of a history and 0.15 of a text."""
    if mask_prob is not None:
        return mask_prob
    return 0.2 if open_ended else 0.15


def choose_predicted(sequences: Sequences, random: np.random.Generator, **shares: Any) -> Bools:
    """Choose positions to predict, ``[batch, seq]``; ``shares`` are those of ``choose_positions``."""
    if sequences.open_ended:
        # a history that ends in an unknown item has no query at its end: the item before it is not the next one
        mask = sequences.mask if sequences.targeted is None else sequences.mask & sequences.targeted
        return choose_positions(mask, random, words=sequences.words, **shares) & sequences.predictable
    return choose_positions(sequences.predictable, random, words=sequences.words, fallback="any", **shares)


def context(sequences: Sequences, masked: Bools) -> dict[str, Ints]:
    """Segments, times and side features of a batch, if there are any; masked positions have no features.

    Times are as ``known_times`` gives them.
    """
    batch = {} if sequences.segments is None else {"segments": sequences.segments}
    batch |= {f"{FEATURE}{name}": np.where(masked, 0, values) for name, values in sequences.features.items()}
    return batch | ({} if sequences.times is None else {"times": known_times(sequences.times, masked)})


def known_times(times: Ints, masked: Bools) -> Ints:
    """Give masked events the timestamp of the last unmasked event.

    So it is at test time: nobody knows when the next item will come, and the last event's time stands in. Masked
    events with no unmasked one before them keep their own time.

    Args:
        times: ``[batch, seq]``.
        masked: True where the item is to be predicted, ``[batch, seq]``.
    """
    position = np.arange(times.shape[1])
    last_known = np.maximum.accumulate(np.where(masked, -1, position), axis=1)
    return np.take_along_axis(times, np.where(last_known < 0, position, last_known), axis=1)
