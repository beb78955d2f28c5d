"""Predicting tokens from hidden states: one module serves masked and next-item training."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.objectives.auxiliary import LastLayer, weighed


class TokenPrediction(nn.Module):
    """Predicts tokens at given positions with the input table as the output table (tied).

    What makes it masked or next-item training is the batch alone: which positions, and whether the encoder is causal.

    Args:
        encoder: The encoder.
        loss: How vectors are compared.
        first_row: First row that may be predicted; special rows below it are never scored.
        counts: Training events by row, ``[vocab_size]``; needed to train with sampled negatives.
        n_users: Users, for mined negatives.
        features: Side features by row, ``[rows, width]`` each, looked up for every position.
        auxiliary: Share of a second loss, on the raw last layer, in the whole; None = no such loss.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: LossConfig,
        *,
        first_row: int,
        counts: NDArray[np.int64] | None = None,
        n_users: int = 0,
        features: dict[str, NDArray[np.int32]] | None = None,
        auxiliary: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.loss, self.first_row, self.auxiliary = encoder, loss, first_row, auxiliary
        self.last = None if auxiliary is None else LastLayer(encoder, encoder.embeddings.token.embedding_dim)
        self.features = RowFeatures(features or {})
        n_rows = encoder.config.vocab_size
        self.item_loss = ItemLoss(loss, first_item=first_row, n_rows=n_rows, counts=counts, n_users=n_users)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: As ``ItemLoss`` takes it, and ``times [batch, seq]`` where the encoder reads them.
        """
        return self.loss_of(self.encode(batch), batch)

    def encode(self, batch: dict[str, Tensor]) -> EncoderOutput:
        """Run the encoder over a batch."""
        tokens, times = batch["tokens"], batch.get("times") if self.encoder.config.needs_times else None
        return self.encoder(tokens, features=self.features(tokens), times=times)

    def loss_of(self, encoded: EncoderOutput, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of what ``encode`` gave."""
        loss = self.item_loss(batch, self.items, distinct=self.loss.similarity == "cosine")
        main = self.queries(at(encoded.tokens, batch["positions"]))
        if self.last is None or self.auxiliary is None:
            return loss(main)
        raw = self.item_loss.query_side(self.last(at(encoded.states[-1], batch["positions"])))
        return weighed(loss(main), loss(raw), self.auxiliary)

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states ``[n, out_dim]`` as vectors whose inner product with ``vectors(table)`` is the logit."""
        return self.item_loss.query_side(self.encoder.project(hidden))

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Vectors of ``rows``, or of all rows that may be predicted."""
        token = self.encoder.embeddings.token
        return self.vectors(token.weight[self.first_row :] if rows is None else token(rows))

    def vectors(self, table: Tensor) -> Tensor:
        """Rows of the token table as they enter the inner product."""
        return self.item_loss.item_side(table)


def at(states: Tensor, positions: Tensor) -> Tensor:
    """States ``[batch, seq, dim]`` at ``positions [n]`` of the flattened batch: ``[n, dim]``."""
    return states.flatten(0, 1).index_select(0, positions)


class RowFeatures(nn.Module):
    """Looks up the side features of rows.

    Args:
        tables: ``[rows, width]`` int values by feature name; 0 is none.
    """

    def __init__(self, tables: dict[str, NDArray[np.int32]]) -> None:
        super().__init__()
        self.names = list(tables)
        for number, table in enumerate(tables.values()):  # by number: a feature's name may hold a dot, a buffer's not
            self.register_buffer(f"table_{number}", torch.tensor(np.asarray(table)), persistent=False)

    def forward(self, rows: Tensor) -> dict[str, Tensor] | None:
        """Values by name: ``[*rows.shape]`` for width 1, ``[*rows.shape, width]`` otherwise; None without features."""
        if not self.names:
            return None
        index = rows.long()
        found = {name: getattr(self, f"table_{number}")[index] for number, name in enumerate(self.names)}
        return {name: value.squeeze(-1) if value.shape[-1] == 1 else value for name, value in found.items()}
