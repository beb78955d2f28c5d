"""Trie of the sequences that may be generated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from recsys_bert.errors import InputError


@dataclass
class Node:
    """A place in the trie."""

    children: dict[int, "Node"] = field(default_factory=dict)
    """Next tokens."""

    is_end: bool = False
    """True if a sequence ends here."""


class Trie:
    """Sequences that may be generated, such as the codes of all items.

    Args:
        sequences: Tokens of each, without stop tokens.

    Raises:
        InputError: There is none, or an empty one.
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        self.root = Node()
        self.tokens: set[int] = set()
        lengths: list[int] = []
        for sequence in sequences:
            node = self.root
            for token in sequence:
                node = node.children.setdefault(int(token), Node())
                self.tokens.add(int(token))
            if node is self.root:
                raise InputError("a sequence of the trie is empty; give each at least one token.")
            node.is_end = True
            lengths.append(len(sequence))
        if not lengths:
            raise InputError("the trie is empty, so that nothing can be generated; give it at least one sequence.")
        self.shortest = min(lengths)

    def check(self, vocab_size: int, stop: Sequence[int], forbidden: Sequence[int], max_length: int) -> None:
        """Refuse a trie that the search could not walk to an end.

        Args:
            vocab_size: Tokens that the model scores.
            stop: Stop tokens.
            forbidden: Tokens that are never generated.
            max_length: Tokens at most, the stop token included.

        Raises:
            InputError: A token is none of the model's or forbidden, a sequence goes on after another that has no stop
                token to end with, or every sequence is too long.
        """
        if (largest := max(self.tokens)) >= vocab_size:
            raise InputError(
                f"the trie holds token {largest}, but the model has {vocab_size}; it belongs to another "
                "vocabulary or catalogue."
            )
        if never := sorted(self.tokens.intersection(forbidden)):
            raise InputError(
                f"the trie holds token {never[0]}, which is never generated, such as padding or that of unknown words; "
                "leave out the sequences with it."
            )
        if not stop and self._goes_on:
            raise InputError("a sequence of the trie begins another one; name a stop token, so that it can end.")
        if (shortest := self.shortest + bool(stop)) > max_length:
            raise InputError(f"max_length is {max_length}, but the trie's shortest path has {shortest} tokens.")

    @cached_property
    def _goes_on(self) -> bool:
        """True if a sequence begins another one."""
        nodes = [self.root]
        while nodes:
            node = nodes.pop()
            if node.is_end and node.children:
                return True
            nodes += node.children.values()
        return False


def allowed_tokens(node: Node | None, stop: Sequence[int]) -> list[int]:
    """Tokens that may follow; None: behind the end, nothing."""
    if node is None:
        return []
    return [*node.children, *(stop if node.is_end else ())]


def follow(node: Node | None, token: int) -> Node | None:
    """Node behind a token; None behind a stop token."""
    return None if node is None else node.children.get(token)


def is_leaf(node: Node | None) -> bool:
    """True where a sequence ends and none goes on."""
    return node is not None and not node.children
