"""Columns of impressions that an objective may hide, and draws of other values of the same field."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.ctr.features import UNSEEN
from recsys_bert.ctr.layout import Layout
from recsys_bert.ctr.model import CTRModule
from recsys_bert.errors import InputError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Columns of the ids array that hold one value of a categorical field each.

    Args:
        index: Their numbers in the ids array, ``[n]``.
        first: First row of each one's field in the flat table, which is that of unseen values and stands for the mask.
        size: Rows of each one's field.
    """

    index: Ints
    first: Ints
    size: Ints

    @staticmethod
    def of(layout: Layout, without: str | None = None) -> "Columns":
        """Categorical columns with two values at least, but not field ``without``.

        Raises:
            InputError: There are fewer than two.
        """
        parts = [
            (layout.column_fields.index(number), offset, field.size)
            for number, (field, offset) in enumerate(zip(layout.in_table, layout.offsets, strict=False))
            if field.kind == "categorical" and field.size > UNSEEN + 3 and field.name != without
        ]
        if len(parts) < 2:
            raise InputError(
                f"{len(parts)} fields are categorical with several values; pretraining on fields predicts one from the "
                "others, so it needs two. Name columns under features.categorical, or leave it out."
            )
        return Columns(*np.array(parts, np.int64).T)

    def __len__(self) -> int:
        return len(self.index)


class FieldBody(nn.Module):
    """Vectors of impressions below the head's output, and a small MLP of each hidden column.

    Args:
        model: The CTR module.
        n_columns: Hidden columns.
        out_dim: Width of an MLP's output.
    """

    def __init__(self, model: CTRModule, n_columns: int, out_dim: int) -> None:
        super().__init__()
        width = getattr(model.head, "out_dim", None)
        if width is None or not hasattr(model.head, "encode"):
            raise InputError(
                "pretraining on fields reads a head's encode and out_dim; this head has none. Choose another."
            )
        self.model = model
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(n_columns))
        self.down = nn.ModuleList(nn.Linear(width, out_dim) for _ in range(n_columns))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Outputs of every column's MLP ``[batch, n_columns, out_dim]``."""
        hidden = self.model.encode(batch)
        parts = [down(torch.relu(up(hidden))) for up, down in zip(self.up, self.down, strict=True)]
        return torch.stack(parts, 1)


class FieldValues:
    """Draws rows of the field of a column, in proportion to their training count to a power.

    Args:
        columns: The columns.
        counts: Training count of every row of the flat table.
        power: 1 by frequency, 0 uniform over what training has.
    """

    def __init__(self, columns: Columns, counts: NDArray[Any], power: float) -> None:
        self.first, self.cumulative = columns.first, []
        for first, size in zip(columns.first, columns.size, strict=True):
            n = counts[first : first + size].astype(np.float64)
            total = np.where(n > 0, n**power, 0).cumsum()
            self.cumulative.append(total / total[-1])

    def draw(self, number: Ints, random: np.random.Generator) -> Ints:
        """Draw a row for each number of a column, any shape."""
        rows = np.empty(number.shape, np.int64)
        for one in np.unique(number):
            at = number == one
            draws = random.random(int(at.sum()))
            rows[at] = self.first[one] + self.cumulative[one].searchsorted(draws, side="right")
        return rows
