"""Positions to mask, and what stands there instead.

Spans of any length as in SpanBERT (https://arxiv.org/abs/1907.10529), n-grams as in ALBERT
(https://arxiv.org/abs/1909.11942).
"""

from typing import Literal

import numpy as np

from recsys_bert.objectives.sequences import Bools, Ints, TokenTable


def choose_positions(
    allowed: Bools,
    random: np.random.Generator,
    *,
    mask_prob: float,
    last_only_prob: float = 0.0,
    span_prob: float = 0.0,
    span_length: float = 3.0,
    ngram_prob: float = 0.0,
    ngram_max: int = 3,
    words: Ints | None = None,
    fallback: Literal["last", "any"] = "last",
) -> Bools:
    """Choose positions to predict; every sequence gets at least one, unless none is allowed.

    Args:
        allowed: bool ``[batch, seq]``, False on padding and wherever nothing may be predicted; all of a word alike.
        random: Source of randomness.
        mask_prob: Share of positions to predict.
        last_only_prob: Share of sequences in which only the last position is chosen.
        span_prob: Share of sequences in which spans are chosen.
        span_length: Mean length of a span.
        ngram_prob: Share of sequences in which n-grams are chosen.
        ngram_max: Longest n-gram.
        words: ``[batch, seq]`` word of each position, counted from 0 without gaps, 0 on padding: then all of these
            count words, and a word is chosen as a whole; None: each position by itself.
        fallback: Position of a sequence for which none was drawn: the ``last`` allowed one, or ``any`` of them.

    Returns:
        bool ``[batch, seq]``.
    """
    kinds = {"last_only_prob": last_only_prob, "span_prob": span_prob, "span_length": span_length}
    if words is None:
        return _choose(allowed, random, fallback, mask_prob, **kinds, ngram_prob=ngram_prob, ngram_max=ngram_max)
    word_allowed = np.zeros((len(words), int(words.max(initial=-1)) + 1), bool)
    rows, columns = np.nonzero(allowed)
    word_allowed[rows, words[rows, columns]] = True
    masked = _choose(word_allowed, random, fallback, mask_prob, **kinds, ngram_prob=ngram_prob, ngram_max=ngram_max)
    return np.take_along_axis(masked, words, axis=1) & allowed


def _choose(
    allowed: Bools,
    random: np.random.Generator,
    fallback: str,
    mask_prob: float,
    *,
    last_only_prob: float,
    span_prob: float,
    span_length: float,
    ngram_prob: float,
    ngram_max: int,
) -> Bools:
    """Choose among positions, or among words as if they were positions."""
    batch, seq = allowed.shape
    last = _only(allowed, seq - 1 - np.argmax(allowed[:, ::-1], axis=1))
    kind = random.random((batch, 1))
    masked = random.random((batch, seq)) < mask_prob
    below = last_only_prob
    if span_prob:
        lengths = random.geometric(1 / span_length, size=(batch, seq))
        spans = _spans(lengths, span_length, mask_prob, random)
        masked = np.where((below <= kind) & (kind < below + span_prob), spans, masked)
        below += span_prob
    if ngram_prob:
        sizes = np.arange(1, ngram_max + 1)
        probabilities = (1 / sizes) / (1 / sizes).sum()
        lengths = random.choice(sizes, size=(batch, seq), p=probabilities)
        spans = _spans(lengths, float(sizes @ probabilities), mask_prob, random)
        masked = np.where((below <= kind) & (kind < below + ngram_prob), spans, masked)
    masked = np.where(kind < last_only_prob, last, masked & allowed)
    empty = ~masked.any(axis=1, keepdims=True)
    if fallback == "last":
        return masked | (empty & last)
    return masked | (empty & _only(allowed, np.argmax(random.random((batch, seq)) * allowed, axis=1)))


def _only(allowed: Bools, position: Ints) -> Bools:
    """One position of each row, if it is allowed."""
    return (np.arange(allowed.shape[1]) == position[:, None]) & allowed


def _spans(lengths: Ints, mean: float, mask_prob: float, random: np.random.Generator) -> Bools:
    """Spans that start anywhere, such that a position is covered with probability about ``mask_prob``.

    Args:
        lengths: ``[batch, seq]`` length of a span that would start there.
        mean: Their mean.
        mask_prob: Share of positions to cover.
        random: Source of randomness.
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
    masked: Bools,
    table: TokenTable,
    random: np.random.Generator,
    *,
    replace_prob: float,
    keep_prob: float,
) -> tuple[Ints, Ints, Ints]:
    """Replace the tokens to predict: by the mask, by a random token, or not at all (80/10/10 in BERT).

    Args:
        tokens: ``[batch, seq]``.
        masked: bool ``[batch, seq]`` from ``choose_positions``; True where a token is predicted.
        table: Mask, and the rows that a random token is drawn from.
        random: Source of randomness.
        replace_prob: Share of random tokens.
        keep_prob: Share of tokens left as they are.

    Returns:
        Corrupted tokens ``[batch, seq]``, positions ``[n]`` in the flattened batch, original tokens there ``[n]``.
    """
    positions = np.flatnonzero(masked)
    flat = tokens.reshape(-1).copy()
    targets = flat[positions]
    draw = random.random(len(positions))
    random_tokens = random.integers(table.first, table.size, size=len(positions), dtype=flat.dtype)
    inputs = np.where(draw < replace_prob, random_tokens, table.mask)
    flat[positions] = np.where(draw >= 1 - keep_prob, targets, inputs)
    return flat.reshape(tokens.shape), positions, targets
