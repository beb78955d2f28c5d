"""Predicting tokens from hidden states: one module serves masked and next-item training."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_softmax import Sampled, full_cross_entropy, gbce, sampled_softmax
from recsys_bert.objectives.auxiliary import LastLayer, weighed


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
        auxiliary: Share of a second loss, on the raw last layer, in the whole; None = no such loss.
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
        auxiliary: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.loss, self.first_row, self.auxiliary = encoder, loss, first_row, auxiliary
        self.last = None if auxiliary is None else LastLayer(encoder, encoder.embeddings.token.embedding_dim)
        self.features = RowFeatures(features or {})
        log_q = (
            torch.zeros(0) if expected_draws is None else torch.from_numpy(np.log(np.maximum(expected_draws, 1e-12)))
        )
        self.register_buffer("log_q", log_q.float(), persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: ``tokens [batch, seq]``, ``positions [n]`` in the flattened batch, ``targets [n]``, and
                ``negatives [batch, k]`` where the loss samples, ``times [batch, seq]`` where the encoder reads them.
        """
        return self.loss_of(self.encode(batch), batch)

    def encode(self, batch: dict[str, Tensor]) -> EncoderOutput:
        """Run the encoder over a batch."""
        tokens, times = batch["tokens"], batch.get("times") if self.encoder.config.needs_times else None
        return self.encoder(tokens, features=self.features(tokens), times=times)

    def loss_of(self, encoded: EncoderOutput, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of what ``encode`` gave."""
        loss, main = self._loss(batch), self.queries(at(encoded.tokens, batch["positions"]))
        if self.last is None or self.auxiliary is None:
            return loss(main)
        raw = self._compared(self.last(at(encoded.states[-1], batch["positions"])))
        return weighed(loss(main), loss(raw), self.auxiliary)

    def _loss(self, batch: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """What compares queries ``[n, d]`` with the targets of a batch."""
        targets = batch["targets"].long()
        if self.loss.name == "full":
            table, answers = self.items(), targets - self.first_row
            return partial(full_cross_entropy, table=table, targets=answers, chunk=self.loss.chunk)
        negatives = batch["negatives"].long()
        positives, vectors = self._drawn(targets, negatives)
        sampled = Sampled(
            row=batch["positions"] // batch["tokens"].shape[1],
            targets=targets,
            positives=positives,
            negatives=negatives,
            vectors=vectors,
        )
        if self.loss.name == "gbce":
            n_items = self.encoder.config.vocab_size - self.first_row
            return partial(gbce, sampled=sampled, n_items=n_items, calibration=self.loss.calibration)
        log_q = {"positive_log_q": self.log_q[targets], "negative_log_q": self.log_q[negatives]}
        return partial(sampled_softmax, sampled=sampled, **log_q)

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states ``[n, out_dim]`` as vectors whose inner product with ``vectors(table)`` is the logit."""
        return self._compared(self.encoder.project(hidden))

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Vectors of ``rows``, or of all rows that may be predicted."""
        token = self.encoder.embeddings.token
        return self.vectors(token.weight[self.first_row :] if rows is None else token(rows))

    def _drawn(self, targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of targets ``[n, d]`` and of negatives ``[batch, k, d]``."""
        if self.loss.similarity == "dot":
            return self.items(targets), self.items(negatives)
        # each row is brought to unit length once, however often it was drawn
        rows, place = torch.cat([targets, negatives.flatten()]).unique(return_inverse=True)
        own, drawn = self.items(rows).index_select(0, place).split([len(targets), negatives.numel()])
        return own, drawn.view(*negatives.shape, -1)

    def _compared(self, projected: Tensor) -> Tensor:
        if self.loss.similarity == "dot":
            return projected
        return F.normalize(projected, dim=-1) / self.loss.temperature

    def vectors(self, table: Tensor) -> Tensor:
        """Rows of the token table as they are compared: unit length for cosine."""
        return table if self.loss.similarity == "dot" else F.normalize(table, dim=-1)


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
