"""The tags that a model chooses among: as rows of its output, made of entities and read back, many at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_tasks.tagging.schemes import EDGE, OUTSIDE, find_scheme, may_follow
from recsys_bert.errors import InputError

MODEL_SCHEMES = ("iobes", "iob2")
"""Schemes that a model may think in; files of any scheme are converted."""


class TagSet:
    """Rows of tags: 0 is outside, then every type's letters.

    Args:
        n_types: Types of entities.
        scheme: One of ``MODEL_SCHEMES``: with letters of its own for the last and for a single unit, or without.

    Raises:
        InputError: Another scheme.
    """

    def __init__(self, n_types: int, scheme: str = "iobes") -> None:
        if scheme not in MODEL_SCHEMES:
            raise InputError(f"a model's tag scheme is {scheme!r}; it must be {' or '.join(MODEL_SCHEMES)}.")
        self.scheme = find_scheme(scheme)
        letters = self.scheme.letters
        self._place = {role: letters.index(getattr(self.scheme, role)) for role in ("begin", "inside", "end", "single")}
        self.per_type = len(letters)
        self.names = [OUTSIDE, *(f"{letter}-{kind}" for kind in range(n_types) for letter in letters)]

    def __len__(self) -> int:
        return len(self.names)

    def constraints(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the scheme allows: first tags ``[tags]``, ``[tags, tags]`` from row to column, last tags ``[tags]``."""
        allowed = torch.tensor(
            [[may_follow(left, right, self.scheme) for right in [*self.names, EDGE]] for left in [*self.names, EDGE]]
        )
        return allowed[-1, :-1], allowed[:-1, :-1], allowed[:-1, -1]

    def encode(self, entities: Tensor, shape: Sequence[int]) -> Tensor:
        """Tags of entities.

        Args:
            entities: ``[k, 4]``: sentence, first unit, one past the last, type; none overlap.
            shape: ``[sentences, units]`` of the result.

        Returns:
            int64 ``[sentences, units]``; 0 on padding.
        """
        tags = entities.new_zeros(tuple(shape), dtype=torch.int64)
        sentence, start, stop, kind = entities.long().unbind(1)
        length = stop - start
        owner = torch.arange(len(length), device=length.device).repeat_interleave(length)
        place = torch.arange(len(owner), device=length.device) - (length.cumsum(0) - length)[owner]
        first, last = place == 0, place == length[owner] - 1
        letter = torch.full_like(place, self._place["inside"])
        letter[last] = self._place["end"]
        letter[first] = self._place["begin"]
        letter[first & last] = self._place["single"]
        tags[sentence[owner], start[owner] + place] = 1 + kind[owner] * self.per_type + letter
        return tags

    def decode(self, tags: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Entities of allowed tags.

        Args:
            tags: ``[sentences, units]``.
            mask: Which units there are, ``[sentences, units]``.

        Returns:
            ``[k, 4]`` as ``encode`` takes them, by sentence and place.
        """
        tags = np.where(mask, tags, 0)
        letter, kind = (tags - 1) % self.per_type, (tags - 1) // self.per_type
        begins = (tags > 0) & np.isin(letter, [self._place["begin"], self._place["single"]])
        after = np.pad(begins | (tags == 0), ((0, 0), (0, 1)), constant_values=True)[:, 1:]
        sentence, start = np.nonzero(begins)
        _, last = np.nonzero((tags > 0) & after)
        return np.stack([sentence, start, last + 1, kind[sentence, start]], axis=1)

    def going_on(self, kind: Tensor) -> Tensor | None:
        """The tag that would make an entity longer by a unit; None where the scheme says that it has ended."""
        return None if self.scheme.closes else 1 + kind * self.per_type + self._place["inside"]
