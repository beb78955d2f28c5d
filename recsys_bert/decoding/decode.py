"""Decode a batch: greedy or by sampling, token by token, or by beam search; for tokens and item codes alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from recsys_bert.decoding.beam import beam_search
from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Constraints, Vocabulary
from recsys_bert.decoding.hypothesis import Hypothesis, NextTokens, check_something_follows
from recsys_bert.decoding.sampling import draw
from recsys_bert.decoding.trie import Trie
from recsys_bert.errors import InputError


@dataclass(frozen=True)
class Step:
    """A token of one sequence, as it is generated."""

    example: int
    """Number of the input."""

    sample: int
    """Number of the sample, from 0."""

    token: int
    """The token."""

    log_probability: float
    """Of the token, after penalties, before temperature."""

    ended: bool
    """True if the sequence ended with it."""


def decode(
    model: NextTokens,
    config: DecodingConfig,
    vocabulary: Vocabulary,
    *,
    trie: Trie | None = None,
    history: Sequence[Sequence[int]] | None = None,
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Generate sequences.

    Args:
        model: Scores next tokens; its rows are the inputs.
        config: Search, penalties, lengths.
        vocabulary: Stop tokens and forbidden ones.
        trie: Sequences that may be generated; None: any.
        history: Tokens of each input that penalties count; None: none.
        numbers: Number of each input, which seeds its draws; None: from 0.

    Returns:
        ``n_best`` sequences of each input, the best first; fewer where a trie or a penalty leaves fewer.

    Raises:
        InputError: No token may follow an input, or the trie does not fit.
    """
    if config.search == "beam":
        logits = model.begin()
        rows = _history(history, len(logits))
        _check(trie, vocabulary, config, logits.shape[1])
        return beam_search(model, logits, config, Constraints(config, vocabulary, trie, rows))
    sequences: dict[tuple[int, int], Hypothesis] = {}
    for step in stream(model, config, vocabulary, trie=trie, history=history, numbers=numbers):
        key = (step.example, step.sample)
        before = sequences.get(key, Hypothesis((), 0.0, False))
        tokens = () if step.token in vocabulary.stop else (step.token,)
        sequences[key] = before.followed_by(tokens, step.log_probability, step.ended)
    best: dict[int, list[Hypothesis]] = {}
    for (example, _), hypothesis in sorted(sequences.items(), key=lambda entry: entry[0]):
        best.setdefault(example, []).append(hypothesis)
    return [sorted(some, key=lambda one: -one.log_probability) for _, some in sorted(best.items())]


def stream(
    model: NextTokens,
    config: DecodingConfig,
    vocabulary: Vocabulary,
    *,
    trie: Trie | None = None,
    history: Sequence[Sequence[int]] | None = None,
    numbers: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Generate greedily or by sampling, and yield each token as soon as it is there; see ``decode``.

    Raises:
        InputError: The search is ``beam``, which revises its tokens; or see ``decode``.
    """
    if config.search == "beam":
        raise InputError(
            "search 'beam' revises its tokens, so they cannot be streamed; set search 'greedy' or 'sample'."
        )
    logits = model.begin()
    _check(trie, vocabulary, config, logits.shape[1])
    rows = [(example, sample) for example in range(len(logits)) for sample in range(config.n_best)]
    constraints = Constraints(config, vocabulary, trie, _history(history, len(logits)))
    if config.n_best > 1:
        copies = torch.arange(len(logits)).repeat_interleave(config.n_best)
        model.select(copies.to(logits.device))
        constraints.select(copies.tolist())
        logits = logits[copies.to(logits.device)]
    seeds = [(example if numbers is None else numbers[example], sample) for example, sample in rows]
    random = [np.random.default_rng([config.seed, *seed]) for seed in seeds] if config.search == "sample" else []
    active = list(range(len(rows)))
    while active:
        scores = constraints.apply(logits.float())
        if constraints.length == 0:
            check_something_follows(scores)
        possible = (scores > -torch.inf).any(1).tolist()
        tokens = draw(scores, config, [random[row] for row in active]) if random else scores.argmax(1)
        log_probabilities = scores.log_softmax(1).gather(1, tokens[:, None])[:, 0].tolist()
        last, going = constraints.length + 1 == config.max_length, []
        for n, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            if possible[n]:
                ended = constraints.ends(n, token)
                yield Step(*rows[row], token, log_probabilities[n], ended)
                going += [] if ended or last else [n]
        constraints.append(tokens.tolist())
        if len(going) < len(active):
            constraints.select(going)
            tokens, active = tokens[going], [active[n] for n in going]
            if going:
                model.select(torch.tensor(going, device=logits.device))
        if active:
            logits = model.step(tokens)


def _history(history: Sequence[Sequence[int]] | None, count: int) -> Sequence[Sequence[int]]:
    return [()] * count if history is None else history


def _check(trie: Trie | None, vocabulary: Vocabulary, config: DecodingConfig, vocab_size: int) -> None:
    if trie is not None:
        trie.check(vocab_size, vocabulary.stop, vocabulary.forbidden, config.max_length)
