"""Masked feature prediction of MAP (https://arxiv.org/abs/2308.01737): hidden values against noise of their field."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.objectives.columns import Columns, FieldBody, FieldValues
from recsys_bert.errors import InputError


class MaskedFeature(nn.Module):
    """Hide a share of the fields; the vector of a hidden value must score above those of other values of its field.

    The loss is noise-contrastive: binary cross-entropy of the value against ``negatives`` values of its field, drawn by
    frequency. The row of unseen values stands for the mask, where the paper has one of its own.

    Args:
        model: The CTR module.
        columns: What may be hidden.
        counts: Training count of every row of the flat table.
        mask_prob: Share of the columns that is hidden, in (0, 1).
        negatives: Noise values for every hidden one.
    """

    def __init__(
        self,
        model: CTRModule,
        columns: Columns,
        counts: NDArray[Any],
        *,
        mask_prob: float = 0.3,
        negatives: int = 25,
    ) -> None:
        super().__init__()
        if not 0 < mask_prob < 1 or negatives < 1:
            raise InputError(
                f"masked_feature: mask_prob is {mask_prob} (in (0, 1)), negatives {negatives} (at least 1)."
            )
        self.body = FieldBody(model, len(columns), model.dim)
        self.noise = FieldValues(columns, counts, power=1.0)
        self.columns, self.mask_prob, self.negatives = columns, mask_prob, negatives

    def make(self, ids: NDArray[Any], random: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Hide values: ``ids`` with masks, and of each hidden one ``row``, ``column``, candidates (the value first)."""
        hidden = random.random((len(ids), len(self.columns))) < self.mask_prob
        hidden[~hidden.any(1), 0] = True
        row, column = np.nonzero(hidden)
        at = self.columns.index[column]
        values = ids[row, at].astype(np.int64)
        noise = self.noise.draw(np.repeat(column[:, None], self.negatives, 1), random)
        ids = ids.copy()
        ids[row, at] = self.columns.first[column]
        return {"ids": ids, "row": row, "column": column, "candidates": np.concatenate([values[:, None], noise], 1)}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of the hidden values."""
        query = self.body(batch)[batch["row"], batch["column"]]
        vectors = self.body.model.table(batch["candidates"])
        scores = (vectors * query[:, None]).sum(2)
        same = batch["candidates"] == batch["candidates"][:, :1]
        noise = F.softplus(scores[:, 1:]).masked_fill(same[:, 1:], 0).sum(1)
        return (F.softplus(-scores[:, 0]) + noise).mean()
