"""Predicting tokens from hidden states: one module serves masked and next-item training."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder
from recsys_bert.training.config import LossConfig
from recsys_bert.training.losses import full_cross_entropy, gbce, own_scores, sampled_softmax


class TokenPrediction(nn.Module):
    """Predicts tokens at given positions with the input table as the output table (tied).

    What makes it masked or next-item training is the batch alone: which positions, and whether the encoder is causal.

    Args:
        encoder: The encoder.
        loss: How vectors are compared.
        first_row: First row that may be predicted; special rows below it are never scored.
        expected_draws: ``[vocab_size]`` expected draws of each row among the negatives of one history, for logQ; None
            where nothing is sampled.
        features: Side features by row, ``[rows, width]`` each, looked up for every position.
    """

    log_q: Tensor

    def __init__(
        self,
        encoder: Encoder,
        loss: LossConfig,
        *,
        first_row: int,
        expected_draws: NDArray[np.float64] | None = None,
        features: dict[str, NDArray[np.int32]] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.loss, self.first_row = encoder, loss, first_row
        self.features = RowFeatures(features or {})
        log_q = (
            torch.zeros(0) if expected_draws is None else torch.from_numpy(np.log(np.maximum(expected_draws, 1e-12)))
        )
        self.register_buffer("log_q", log_q.float(), persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: ``tokens [batch, seq]``, ``positions [n]`` in the flattened batch, ``targets [n]``, and
                ``negatives [batch, k]`` where the loss samples.
        """
        encoded = self.encoder(batch["tokens"], features=self.features(batch["tokens"]))
        hidden = encoded.tokens.flatten(0, 1).index_select(0, batch["positions"])
        queries, targets = self.queries(hidden), batch["targets"].long()
        if self.loss.name == "full":
            table = self.vectors(self.encoder.embeddings.token.weight[self.first_row :])
            return full_cross_entropy(queries, table, targets - self.first_row, chunk=self.loss.chunk)
        negatives, row = batch["negatives"].long(), batch["positions"] // batch["tokens"].shape[1]
        positive = (queries * self.vectors(self.encoder.embeddings.token(targets))).sum(dim=1).float()
        negative = own_scores(queries, row, self.vectors(self.encoder.embeddings.token(negatives))).float()
        own = negatives[row]
        hits = targets[:, None] == own
        if self.loss.name == "gbce":
            n_items = self.encoder.config.vocab_size - self.first_row
            return gbce(positive, negative, hits, n_items=n_items, calibration=self.loss.calibration)
        return sampled_softmax(positive, negative, hits, self.log_q[targets], self.log_q[own])

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states ``[n, out_dim]`` as vectors whose inner product with ``vectors(table)`` is the logit."""
        projected = self.encoder.table_space(hidden)
        if self.loss.similarity == "dot":
            return projected
        return F.normalize(projected, dim=-1) / self.loss.temperature

    def vectors(self, table: Tensor) -> Tensor:
        """Rows of the token table as they are compared: unit length for cosine."""
        return table if self.loss.similarity == "dot" else F.normalize(table, dim=-1)


class RowFeatures(nn.Module):
    """Looks up the side features of rows.

    Args:
        tables: ``[rows, width]`` int values by feature name; 0 is none.
    """

    def __init__(self, tables: dict[str, NDArray[np.int32]]) -> None:
        super().__init__()
        self.names = list(tables)
        for name, table in tables.items():
            self.register_buffer(f"table_{name}", torch.tensor(np.asarray(table)), persistent=False)

    def forward(self, rows: Tensor) -> dict[str, Tensor] | None:
        """Values by name: ``[*rows.shape]`` for width 1, ``[*rows.shape, width]`` otherwise; None without features."""
        if not self.names:
            return None
        index = rows.long()
        found = {name: getattr(self, f"table_{name}")[index] for name in self.names}
        return {name: value.squeeze(-1) if value.shape[-1] == 1 else value for name, value in found.items()}
