"""Masked-token corruption as BERT's (https://arxiv.org/abs/1810.04805), for clicks and for words.

One history is masked in one of four ways, drawn per history: only its last position (the one question that is asked
at test time), runs of neighbours of any length (SpanBERT, https://arxiv.org/abs/1907.10529) or of at most n (ALBERT,
https://arxiv.org/abs/1909.11942), or independent positions. Where positions come in units, such as the pieces of a
word, each of these holds of units: all of a unit is masked, or nothing of it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_bert.objectives.config import MaskingConfig

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


def choose_positions(
    lengths: Ints,
    seq: int,
    config: MaskingConfig,
    random: np.random.Generator,
    *,
    units: Ints | None = None,
    allowed: Bools | None = None,
    at_least: Literal["last", "any"] = "last",
) -> Bools:
    """Choose what to predict; every history gets at least one position that is allowed, where it has one.

    Args:
        lengths: ``[batch]`` real positions per history.
        seq: Width of the batch.
        config: The settings.
        random: Source of chance.
        units: ``[batch, seq]`` unit of each real position, counted from 0 in every history without gaps; None: each
            position is one by itself.
        allowed: bool ``[batch, seq]``, False where nothing may be predicted, for whole units; None allows all.
        at_least: Which one a history gets that chance would leave without any: the ``last`` or ``any`` of them.

    Returns:
        bool ``[batch, seq]``.
    """
    mask = np.arange(seq) < lengths[:, None]
    allowed = mask if allowed is None else allowed & mask
    if units is None:
        return _choose(allowed, config, random, at_least)
    units = np.where(mask, units, 0)
    counts = np.where(lengths > 0, units.max(axis=1, initial=0) + 1, 0)
    unit_allowed = np.zeros((len(lengths), int(counts.max(initial=0))), bool)
    rows, columns = np.nonzero(allowed)
    unit_allowed[rows, units[rows, columns]] = True
    chosen = _choose(unit_allowed, config, random, at_least)
    return np.take_along_axis(chosen, units, axis=1) & allowed


def _choose(allowed: Bools, config: MaskingConfig, random: np.random.Generator, at_least: str) -> Bools:
    """Choose among positions, or among units as if they were positions."""
    batch, seq = allowed.shape
    last = _only(allowed, seq - 1 - np.argmax(allowed[:, ::-1], axis=1))
    kind = random.random((batch, 1))
    chosen = random.random((batch, seq)) < config.mask_prob
    below = config.last_only_prob
    if config.span_prob:
        lengths = random.geometric(1 / config.span_length, size=(batch, seq))
        runs = _runs(lengths, config.span_length, config.mask_prob, random)
        chosen = np.where((below <= kind) & (kind < below + config.span_prob), runs, chosen)
        below += config.span_prob
    if config.ngram_prob:
        sizes = np.arange(1, config.ngram_max + 1)
        chances = (1 / sizes) / (1 / sizes).sum()
        lengths = random.choice(sizes, size=(batch, seq), p=chances)
        runs = _runs(lengths, float(sizes @ chances), config.mask_prob, random)
        chosen = np.where((below <= kind) & (kind < below + config.ngram_prob), runs, chosen)
    chosen = np.where(kind < config.last_only_prob, last, chosen & allowed)
    empty = ~chosen.any(axis=1, keepdims=True)
    if at_least == "last":
        return chosen | (empty & last)
    return chosen | (empty & _only(allowed, np.argmax(random.random((batch, seq)) * allowed, axis=1)))


def _only(allowed: Bools, position: Ints) -> Bools:
    """One position of each row, where it is allowed."""
    return (np.arange(allowed.shape[1]) == position[:, None]) & allowed


def _runs(lengths: Ints, mean: float, mask_prob: float, random: np.random.Generator) -> Bools:
    """Runs that start anywhere, such that a position is covered with probability about ``mask_prob``.

    Args:
        lengths: ``[batch, seq]`` length of a run that would start there.
        mean: Their mean.
        mask_prob: Share of positions to cover.
        random: Source of chance.
    """
    batch, seq = lengths.shape
    # covered by none of the starts before it with probability (1 - p)^length: solve for the start probability
    starts = random.random((batch, seq)) < 1 - (1 - mask_prob) ** (1 / mean)
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
