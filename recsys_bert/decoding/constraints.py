"""Constraints on next tokens: penalties, forbidden tokens, trie; a state a row, which beams put in another order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.decoding.trie import Node, Trie, allowed_tokens, follow, is_leaf


@dataclass(frozen=True)
class Vocabulary:
    """Tokens with a role in decoding."""

    stop: tuple[int, ...] = ()
    """Tokens that end a sequence."""

    forbidden: tuple[int, ...] = ()
    """Tokens that are never generated, such as padding."""


class Constraints:
    """Change the scores of next tokens by what a row holds already.

    Args:
        config: Penalties and lengths.
        vocabulary: Stop tokens and forbidden ones.
        trie: Sequences that may be generated; None: any.
        history: Tokens before each row's first new one, which count for penalties.
    """

    def __init__(
        self, config: DecodingConfig, vocabulary: Vocabulary, trie: Trie | None, history: Sequence[Sequence[int]]
    ) -> None:
        self.config, self.vocabulary = config, vocabulary
        self.tokens = [list(row) for row in history]
        self.nodes: list[Node | None] | None = None if trie is None else [trie.root] * len(history)
        self.length = 0
        self._seen: Tensor | None = None

    def apply(self, scores: Tensor) -> Tensor:
        """Scores ``[rows, vocab]`` with penalties, −∞ where a token may not follow."""
        config = self.config
        scores = scores.clone() if config.repetition_penalty == 1 else self._penalise(scores)
        if self.vocabulary.forbidden:
            scores[:, list(self.vocabulary.forbidden)] = -torch.inf
        if self.vocabulary.stop and self.length < config.min_length:
            scores[:, list(self.vocabulary.stop)] = -torch.inf
        if config.no_repeat_ngram:
            repeats = [repeating_tokens(tokens, config.no_repeat_ngram) for tokens in self.tokens]
            scores = scores.masked_fill(_marked(scores, repeats), -torch.inf)
        if self.nodes is not None:
            allowed = [allowed_tokens(node, self.vocabulary.stop) for node in self.nodes]
            scores = scores.masked_fill(~_marked(scores, allowed), -torch.inf)
        return scores

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times."""
        self.tokens = [list(self.tokens[row]) for row in rows]
        if self.nodes is not None:
            self.nodes = [self.nodes[row] for row in rows]
        if self._seen is not None:
            self._seen = self._seen[list(rows)]

    def append(self, tokens: Sequence[int]) -> None:
        """Append the next token of every row."""
        self.length += 1
        for row, token in zip(self.tokens, tokens, strict=True):
            row.append(token)
        if self.nodes is not None:
            self.nodes = [follow(node, token) for node, token in zip(self.nodes, tokens, strict=True)]
        if self._seen is not None:
            self._seen[torch.arange(len(tokens)), torch.tensor(tokens)] = True

    def ends(self, row: int, token: int) -> bool:
        """True if a sequence ends with this token: a stop token, or a leaf of a trie that has none."""
        if token in self.vocabulary.stop:
            return True
        return self.nodes is not None and not self.vocabulary.stop and is_leaf(follow(self.nodes[row], token))

    def _penalise(self, scores: Tensor) -> Tensor:
        if self._seen is None:
            self._seen = _marked(scores, self.tokens)
        penalty = self.config.repetition_penalty
        return torch.where(self._seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def repeating_tokens(tokens: Sequence[int], n: int) -> list[int]:
    """Tokens that would end an n-gram which has occurred already."""
    if len(tokens) < n:
        return []
    followers: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for start in range(len(tokens) - n + 1):
        followers[tuple(tokens[start : start + n - 1])].append(tokens[start + n - 1])
    return followers.get(tuple(tokens[len(tokens) - n + 1 :]), [])


def _marked(scores: Tensor, tokens: Sequence[Sequence[int]]) -> Tensor:
    """True at the tokens of each row, bool of the shape of ``scores``; written at once, not a row at a time."""
    rows = torch.tensor([row for row, some in enumerate(tokens) for _ in some], dtype=torch.long)
    columns = torch.tensor([token for some in tokens for token in some], dtype=torch.long)
    marked = torch.zeros_like(scores, dtype=torch.bool)
    marked[rows.to(scores.device), columns.to(scores.device)] = True
    return marked
