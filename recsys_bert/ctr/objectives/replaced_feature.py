"""Replaced feature detection of MAP (https://arxiv.org/abs/2308.01737): ELECTRA's objective on fields."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.objectives.columns import Columns, FieldBody, FieldValues
from recsys_bert.errors import InputError


class ReplacedFeature(nn.Module):
    """Replace a share of the fields by other values of theirs; every field says whether it was replaced.

    Args:
        model: The CTR module.
        columns: What may be replaced.
        counts: Training count of every row of the flat table.
        replace_prob: Share of the columns that is replaced, in (0, 1).
        power: Values are drawn in proportion to their count to this power: 1 by frequency, 0 uniform.
    """

    def __init__(
        self,
        model: CTRModule,
        columns: Columns,
        counts: NDArray[Any],
        *,
        replace_prob: float = 0.3,
        power: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 < replace_prob < 1 or not 0 <= power <= 1:
            raise InputError(
                f"replaced_feature: replace_prob is {replace_prob} (in (0, 1)), power {power} (in [0, 1])."
            )
        self.body = FieldBody(model, len(columns), 1)
        self.values = FieldValues(columns, counts, power)
        self.columns, self.replace_prob = columns, replace_prob

    def make(self, ids: NDArray[Any], random: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Replace values: ``ids``, and ``replaced [batch, n_columns]``; a draw of the same value counts as kept."""
        row, column = np.nonzero(random.random((len(ids), len(self.columns))) < self.replace_prob)
        at = self.columns.index[column]
        values = self.values.draw(column, random)
        replaced = np.zeros((len(ids), len(self.columns)), np.float32)
        replaced[row, column] = values != ids[row, at]
        ids = ids.copy()
        ids[row, at] = values
        return {"ids": ids, "replaced": replaced}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean binary cross-entropy over all columns."""
        return F.binary_cross_entropy_with_logits(self.body(batch)[:, :, 0].float(), batch["replaced"])
