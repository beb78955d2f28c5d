"""Masked-token corruption as BERT's (https://arxiv.org/abs/1810.04805), for clicks and for words.

One history is masked in one of three ways, drawn per history: only its last position (the one question that is
asked at test time), runs of neighbours (SpanBERT, https://arxiv.org/abs/1907.10529), or independent positions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_bert.training.config import MaskingConfig

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Masked:
    """A corrupted batch and what was there."""

    tokens: Ints
    """``[batch, seq]`` with masks put in."""

    positions: Ints
    """``[n]`` indices of the predicted positions in the flattened batch."""

    targets: Ints
    """``[n]`` original tokens at ``positions``."""


def choose_positions(lengths: Ints, seq: int, config: MaskingConfig, random: np.random.Generator) -> Bools:
    """Choose what to predict; every history of length ≥ 1 gets at least one position.

    Args:
        lengths: ``[batch]`` real positions per history.
        seq: Width of the batch.
        config: The settings.
        random: Source of chance.

    Returns:
        bool ``[batch, seq]``.
    """
    batch = len(lengths)
    column = np.arange(seq)
    real = column < lengths[:, None]
    last = column == lengths[:, None] - 1
    kind = random.random(batch)[:, None]
    chosen = random.random((batch, seq)) < config.mask_prob
    if config.span_prob:
        spans = _spans(batch, seq, config, random)
        chosen = np.where(kind < config.last_only_prob + config.span_prob, spans, chosen)
    chosen = np.where(kind < config.last_only_prob, last, chosen & real)
    empty = ~chosen.any(axis=1, keepdims=True)
    return chosen | (empty & last)


def _spans(batch: int, seq: int, config: MaskingConfig, random: np.random.Generator) -> Bools:
    """Runs that start anywhere, such that a position is covered with probability about ``mask_prob``."""
    # covered by none of the starts before it with probability (1 - p)^length: solve for the start probability
    start_prob = 1 - (1 - config.mask_prob) ** (1 / config.span_length)
    starts = random.random((batch, seq)) < start_prob
    lengths = random.geometric(1 / config.span_length, size=(batch, seq))
    edges = np.zeros((batch, seq + 1), dtype=np.int32)
    rows, columns = np.nonzero(starts)
    np.add.at(edges, (rows, columns), 1)
    np.add.at(edges, (rows, np.minimum(columns + lengths[rows, columns], seq)), -1)
    return np.cumsum(edges, axis=1)[:, :seq] > 0


def corrupt(
    tokens: Ints,
    chosen: Bools,
    *,
    mask_token: int,
    random_from: int,
    random_to: int,
    config: MaskingConfig,
    random: np.random.Generator,
) -> Masked:
    """Replace the chosen tokens: by the mask, by a random token, or not at all (80/10/10 by default).

    Args:
        tokens: ``[batch, seq]``.
        chosen: bool ``[batch, seq]`` from ``choose_positions``.
        mask_token: The token that hides a position.
        random_from: First token that may stand in.
        random_to: One past the last.
        config: The settings.
        random: Source of chance.
    """
    positions = np.flatnonzero(chosen)
    flat = tokens.reshape(-1).copy()
    targets = flat[positions]
    fate = random.random(len(positions))
    stand_in = random.integers(random_from, random_to, size=len(positions), dtype=flat.dtype)
    shown = np.where(fate < config.replace_prob, stand_in, mask_token)
    flat[positions] = np.where(fate >= 1 - config.keep_prob, targets, shown)
    return Masked(flat.reshape(tokens.shape), positions, targets)
