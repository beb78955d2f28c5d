"""Tags as rows of a model's output: vectorised encoding and decoding of entities."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_tasks.tagging.schemes import EDGE, OUTSIDE, find_scheme, may_follow
from recsys_bert.errors import InputError

MODEL_SCHEMES = ("iobes", "iob2")
"""Schemes of a model's outputs; files of any scheme are converted."""


class TagSet:
    """Tag vocabulary: 0 is outside, then the letters of every type.

    Args:
        n_types: Types of entities.
        scheme: One of ``MODEL_SCHEMES``.

    Raises:
        InputError: Another scheme.
    """

    def __init__(self, n_types: int, scheme: str = "iobes") -> None:
        if scheme not in MODEL_SCHEMES:
            raise InputError(f"a model's tag scheme is {scheme!r}; it must be {' or '.join(MODEL_SCHEMES)}.")
        self.scheme = find_scheme(scheme)
        letters = self.scheme.letters
        self._letter = {
            role: letters.index(getattr(self.scheme, role)) for role in ("begin", "inside", "end", "single")
        }
        self.per_type = len(letters)
        self.names = [OUTSIDE, *(f"{letter}-{kind}" for kind in range(n_types) for letter in letters)]

    def __len__(self) -> int:
        return len(self.names)

    def constraints(self) -> tuple[Tensor, Tensor, Tensor]:
        """Valid first tags ``[tags]``, transitions ``[tags, tags]`` from row to column, last tags ``[tags]``."""
        allowed = torch.tensor(
            [[may_follow(left, right, self.scheme) for right in [*self.names, EDGE]] for left in [*self.names, EDGE]]
        )
        return allowed[-1, :-1], allowed[:-1, :-1], allowed[:-1, -1]

    def encode(self, entities: Tensor, shape: Sequence[int]) -> Tensor:
        """Encode entities as tags.

        Args:
            entities: ``[k, 4]``: sentence, first word, one past the last, type; none overlap.
            shape: ``[sentences, words]`` of the result.

        Returns:
            int64 ``[sentences, words]``; 0 on padding.
        """
        tags = entities.new_zeros(tuple(shape), dtype=torch.int64)
        sentence, start, stop, kind = entities.long().unbind(1)
        length = stop - start
        owner = torch.arange(len(length), device=length.device).repeat_interleave(length)
        position = torch.arange(len(owner), device=length.device) - (length.cumsum(0) - length)[owner]
        first, last = position == 0, position == length[owner] - 1
        letter = torch.full_like(position, self._letter["inside"])
        letter[last] = self._letter["end"]
        letter[first] = self._letter["begin"]
        letter[first & last] = self._letter["single"]
        tags[sentence[owner], start[owner] + position] = 1 + kind[owner] * self.per_type + letter
        return tags

    def decode(self, tags: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Decode valid tag sequences.

        Args:
            tags: ``[sentences, words]``.
            mask: True for words, False for padding, ``[sentences, words]``.

        Returns:
            ``[k, 4]`` as ``encode`` takes them, by sentence and position.
        """
        tags = np.where(mask, tags, 0)
        letter, kind = (tags - 1) % self.per_type, (tags - 1) // self.per_type
        begins = (tags > 0) & np.isin(letter, [self._letter["begin"], self._letter["single"]])
        after = np.pad(begins | (tags == 0), ((0, 0), (0, 1)), constant_values=True)[:, 1:]
        sentence, start = np.nonzero(begins)
        _, last = np.nonzero((tags > 0) & after)
        return np.stack([sentence, start, last + 1, kind[sentence, start]], axis=1)

    def continuation(self, kind: Tensor) -> Tensor | None:
        """Tag that would extend an entity by a word; None where the scheme marks ends."""
        return None if self.scheme.closes else 1 + kind * self.per_type + self._letter["inside"]
