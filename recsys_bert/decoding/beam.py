"""Beam search over a batch; exact where all sequences fit into the beams."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.constraints import Constraints
from recsys_bert.decoding.hypothesis import Hypothesis, NextTokens, check_something_follows


def beam_search(
    model: NextTokens, logits: Tensor, config: DecodingConfig, constraints: Constraints
) -> list[list[Hypothesis]]:
    """Find the ``n_best`` sequences of each input by log-probability over length to the power of ``length_penalty``.

    An input is done when no open beam can overtake the worst of ``beams`` ended sequences, at any length still allowed.

    Args:
        model: Has begun; its rows become the beams.
        logits: Of the first token of each input, ``[inputs, vocab]``.
        config: The settings.
        constraints: Of the inputs.
    """
    best: list[list[Hypothesis]] = [[] for _ in range(len(logits))]
    starts = [len(tokens) for tokens in constraints.tokens]
    inputs, totals = list(range(len(logits))), logits.new_zeros(len(logits), 1, dtype=torch.float32)
    n_candidates = max(2, 1 + len(constraints.vocabulary.stop)) * config.beams
    while inputs:
        scores = constraints.apply(logits.float().log_softmax(1))
        if constraints.length == 0:
            check_something_follows(scores)
        size, width = scores.shape[1], totals.shape[1]
        sums = (scores.view(len(inputs), width, size) + totals[:, :, None]).view(len(inputs), -1)
        values, indices = (part.tolist() for part in sums.topk(min(n_candidates, sums.shape[1]), dim=1))
        beams: list[_Beam] = []
        going: list[int] = []
        for n, example in enumerate(inputs):
            extended = [
                _Beam(n * width + index // size, index % size, value)
                for index, value in zip(indices[n], values[n], strict=True)
                if value > -torch.inf
            ]
            ended, opened = _split(extended, constraints, config, starts[example])
            if not extended and not best[example]:  # a dead end: penalties left nothing
                generated = tuple(constraints.tokens[n * width][starts[example] :])
                total = float(totals[n, 0])
                ended = [Hypothesis(generated, total, False, total / constraints.length**config.length_penalty)]
            best[example] = sorted([*best[example], *ended], key=lambda one: -one.score)[: config.beams]
            if opened and not _is_done(best[example], opened[0].value, constraints.length + 1, config):
                going.append(example)
                lacking = config.beams - len(opened)
                beams += [*opened, *[replace(opened[0], value=-torch.inf)] * lacking]
        inputs = going
        if inputs:
            totals = totals.new_tensor([beam.value for beam in beams]).view(len(inputs), config.beams)
            logits = _advance(model, constraints, beams, len(logits), logits.device)
    return [some[: config.n_best] for some in best]


@dataclass(frozen=True)
class _Beam:
    """A row extended by a token."""

    row: int
    token: int
    value: float
    """Log-probability, the token's included."""


def _split(
    extended: list[_Beam], constraints: Constraints, config: DecodingConfig, start: int
) -> tuple[list[Hypothesis], list[_Beam]]:
    """Sequences that end now, among the first ``beams``, and the beams that stay open."""
    length = constraints.length + 1
    ended: list[Hypothesis] = []
    opened: list[_Beam] = []
    for rank, beam in enumerate(extended):
        ends = constraints.ends(beam.row, beam.token)
        if not ends and length < config.max_length:
            opened += [beam] if len(opened) < config.beams else []
        elif rank < config.beams:
            last = () if beam.token in constraints.vocabulary.stop else (beam.token,)
            tokens = (*constraints.tokens[beam.row][start:], *last)
            ended.append(Hypothesis(tokens, beam.value, ends, beam.value / length**config.length_penalty))
    return ended, opened


def _advance(
    model: NextTokens, constraints: Constraints, beams: list[_Beam], n_rows: int, device: torch.device
) -> Tensor:
    """Put the open beams in their order, append their tokens, and score the next ones."""
    rows, tokens = [beam.row for beam in beams], [beam.token for beam in beams]
    constraints.select(rows)
    constraints.append(tokens)
    if rows != list(range(n_rows)):
        model.select(torch.tensor(rows, device=device))
    return model.step(torch.tensor(tokens, device=device))


def _is_done(best: list[Hypothesis], open_value: float, length: int, config: DecodingConfig) -> bool:
    """True if no open beam can overtake the worst ended sequence: longer ones only lose log-probability."""
    if len(best) < config.beams:
        return False
    longest = config.max_length if config.length_penalty > 0 else length + 1
    return open_value / longest**config.length_penalty <= best[-1].score
