"""Fields of an impression and their rows in one flat embedding table. No torch in here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from recsys_bert.errors import InputError

Kind = Literal["categorical", "number", "multi", "dense"]

DENSE = "dense."
"""Begins the names of a batch's dense fields, float ``[batch, width]``."""


@dataclass(frozen=True)
class Field:
    """One field of an impression.

    Args:
        name: Name of its column; side features as ``item.genres`` or ``user.age``.
        kind: ``categorical``: one value; ``number``: one value times a number; ``multi``: the mean of up to ``width``;
            ``dense``: ``width`` numbers of a prepared log, through an adapter.
        size: Rows of its values in the table; 0 for ``dense``.
        width: Columns of the ids array, or numbers.
    """

    name: str
    kind: Kind
    size: int
    width: int = 1


@dataclass(frozen=True)
class Layout:
    """The fields in their order, dense ones last. Row 0 of the table is padding; the values of each field follow."""

    fields: tuple[Field, ...]

    @property
    def in_table(self) -> tuple[Field, ...]:
        """Fields with values in the table."""
        return tuple(field for field in self.fields if field.kind != "dense")

    @property
    def dense(self) -> tuple[Field, ...]:
        """Fields of numbers through an adapter."""
        return tuple(field for field in self.fields if field.kind == "dense")

    @cached_property
    def offsets(self) -> list[int]:
        """First row of each field's values."""
        offsets, row = [], 1
        for field in self.fields:
            offsets.append(row)
            row += field.size
        return offsets

    @property
    def n_values(self) -> int:
        """Rows of the table, padding included."""
        return 1 + sum(field.size for field in self.fields)

    @property
    def column_fields(self) -> list[int]:
        """Field of each column of the ids array."""
        return [number for number, field in enumerate(self.in_table) for _ in range(field.width)]

    @property
    def number_columns(self) -> list[int]:
        """Columns of the ids array that are multiplied by a number, in the order of the numbers array."""
        kinds = [field.kind for field in self.in_table for _ in range(field.width)]
        return [column for column, kind in enumerate(kinds) if kind == "number"]


def check_fields(option: str, numbers: Sequence[int], n_fields: int) -> list[int]:
    """Return ``numbers``, each the number of a field that exists.

    Raises:
        InputError: One of them does not.
    """
    if any(not 0 <= number < n_fields for number in numbers):
        raise InputError(f"{option} is {list(numbers)}; this model's fields are numbered 0 to {n_fields - 1}.")
    return list(numbers)
