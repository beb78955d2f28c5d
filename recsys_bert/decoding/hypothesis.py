"""A generated sequence, and what generates it."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from recsys_bert.errors import InputError


class NextTokens(Protocol):
    """Model that scores next tokens of a batch of sequences, which it keeps."""

    def begin(self) -> Tensor:
        """Logits of the first new token of each input, ``[inputs, vocab]``."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens int64 ``[rows]``; logits of the next ones, ``[rows, vocab]``."""

    def select(self, rows: Tensor) -> None:
        """Keep these rows, int64 ``[n]``, in this order; a row may come several times."""


@dataclass(frozen=True)
class Hypothesis:
    """A generated sequence."""

    tokens: tuple[int, ...]
    """Its tokens, without the stop token."""

    log_probability: float
    """Sum over its tokens, the stop token included, after penalties."""

    finished: bool
    """True if it ended by itself, False if at the maximum length, or where nothing could follow."""

    score: float = 0.0
    """beam: log-probability divided by length to the power of ``length_penalty``; else the log-probability."""

    def followed_by(self, tokens: tuple[int, ...], log_probability: float, finished: bool) -> "Hypothesis":
        """Append tokens of this log-probability."""
        total = self.log_probability + log_probability
        return Hypothesis((*self.tokens, *tokens), total, finished, total)


def check_something_follows(scores: Tensor) -> None:
    """Refuse inputs that no token may follow.

    Args:
        scores: ``[rows, vocab]``, −∞ for tokens that may not.

    Raises:
        InputError: There is one.
    """
    if bool((scores == -torch.inf).all(1).any()):
        raise InputError(
            "no token may follow: trie, min_length, no_repeat_ngram and forbidden tokens leave none. Loosen one of "
            "them."
        )
