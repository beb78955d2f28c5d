"""Token prediction from hidden states: one module serves masked and next-item training."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.losses.item_softmax import soft_item_loss
from recsys_bert.losses.negatives import Popularity
from recsys_bert.objectives.auxiliary import LastLayer, weighed


class TokenPrediction(nn.Module):
    """Predicts tokens at given positions with the input table as the output table (tied).

    Masked and next-item training differ in the batch (which positions) and the encoder's attention alone.

    Args:
        encoder: The encoder.
        loss: Item loss and similarity.
        first_row: First row that may be predicted; special rows below it are never scored.
        counts: Training events by row, ``[vocab_size]``; needed to train with sampled negatives.
        n_users: Users, for mined negatives.
        features: Side features by row, ``[rows, width]`` each, looked up for every position; dense ones are part of the
            output table, too.
        auxiliary: Weight of the auxiliary loss on the raw last layer, in (0, 1); None = no such loss.
        head: BERT's masked-token head in place of the encoder's own output projection, which has no bias per token.
        unknown: Row of the token table that stands for rows past it, which have features alone.
        id_dropout: Probability of reading a row of the output table, or of a history, so in training; with ``unknown``.

    Raises:
        InputError: The head is for other widths.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: LossConfig,
        *,
        first_row: int,
        counts: Popularity | None = None,
        n_users: int = 0,
        features: Mapping[str, "NDArray[Any] | TrainedRows"] | None = None,
        auxiliary: float | None = None,
        head: MaskedTokenHead | None = None,
        unknown: int | None = None,
        id_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if head is not None:
            head.check_fits(encoder)
        self.head = head
        self.encoder, self.loss, self.first_row, self.auxiliary = encoder, loss, first_row, auxiliary
        self.last = None if auxiliary is None else LastLayer(encoder, encoder.embeddings.token.embedding_dim)
        self.features, self.unknown, self.id_dropout = RowFeatures(features or {}), unknown, id_dropout
        self.dense = [feature.name for feature in encoder.config.features if feature.width]
        n_rows = encoder.config.vocab_size
        self.item_loss = ItemLoss(loss, first_item=first_row, n_rows=n_rows, counts=counts, n_users=n_users)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: As ``ItemLoss`` takes it; ``segments`` and ``times`` ``[batch, seq]`` if the encoder reads them.
        """
        return self.loss_of(self.encode(batch), batch)

    @property
    def prediction(self) -> "TokenPrediction":
        """Itself: nothing else is trained."""
        return self

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Batch as the encoder reads it: as it is."""
        return batch

    def encode(self, batch: Mapping[str, Tensor]) -> EncoderOutput:
        """Encoder outputs of a batch."""
        return encode_batch(self.encoder, self.without_ids(batch), self.features(batch["tokens"]))

    def without_ids(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Batch in which some items of histories have their features alone, in training with ``id_dropout``."""
        if not self.training or not self.id_dropout:
            return batch
        return {**batch, "tokens": drop_ids(batch["tokens"], self.id_dropout, self.first_row, self.unknown)}

    def soft_targets(
        self, teacher: "TokenPrediction", taught: EncoderOutput, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The teacher's queries ``[n, d]`` and item vectors ``[rows, d]``, by its encoder outputs."""
        return teacher.queries(at(taught.tokens, batch["positions"])), teacher.items(self._compared_rows(batch))

    def soft_loss(
        self, encoded: EncoderOutput, targets: tuple[Tensor, Tensor], batch: Mapping[str, Tensor], temperature: float
    ) -> Tensor:
        """Mean loss against ``soft_targets`` of a teacher."""
        queries, items = self.queries(at(encoded.tokens, batch["positions"])), self.items(self._compared_rows(batch))
        weights = batch.get("weights")
        return soft_item_loss(queries, items, targets, weights, temperature=temperature, chunk=self.loss.chunk)

    def _compared_rows(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Rows whose predictions are compared: a sampled loss's targets and negatives; None for all."""
        if not self.loss.samples:
            return None
        return torch.cat([batch["targets"].long(), batch["negatives"].long().flatten()]).unique()

    def metrics(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> dict[str, tuple[float, int]]:
        """Accuracy and log likelihood (nats) of the predicted tokens over all rows, as sums with their counts."""
        logits = self.queries(at(encoded.tokens, batch["positions"])) @ self.items().T
        targets = batch["targets"].long() - self.first_row
        right = int((logits.argmax(dim=1) == targets).sum())
        log_likelihood = -float(F.cross_entropy(logits.float(), targets, reduction="sum"))
        return {"accuracy": (right, len(targets)), "log_likelihood": (log_likelihood, len(targets))}

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss over the targets, by the encoder's outputs."""
        loss = self.loss_of_queries(batch)
        main = self.queries(at(encoded.tokens, batch["positions"]))
        if self.last is None or self.auxiliary is None:
            return loss(main)
        raw = self.compared(self.last(at(encoded.states[-1], batch["positions"])))
        return weighed(loss(main), loss(raw), self.auxiliary)

    def loss_of_queries(self, batch: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """Item loss of a batch as a function of its queries; rows that are more than a lookup are computed once."""
        return self.item_loss(batch, self.items, distinct=self.loss.similarity == "cosine" or bool(self.dense))

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states ``[n, out_dim]`` as vectors whose inner product with ``items`` is the logit."""
        return self.compared(self.encoder.project(hidden) if self.head is None else self.head(hidden))

    def compared(self, x: Tensor) -> Tensor:
        """States as wide as the token table as they enter the inner product; a 1 at the end meets the token's bias."""
        query = self.item_loss.query_side(x)
        return query if self.head is None else F.pad(query, (0, 1), value=1.0)

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Vectors of ``rows``, or of all rows that may be predicted."""
        table = self.vectors(self._embeddings(rows))
        if self.head is None:
            return table
        bias = self.head.bias[self.first_row :] if rows is None else self.head.bias[rows]
        return torch.cat([table, bias[:, None].to(table.dtype)], dim=1)

    def _embeddings(self, rows: Tensor | None) -> Tensor:
        """Embeddings of rows, with those of their dense features; rows past the table have these alone."""
        every = slice(self.first_row, self.encoder.config.vocab_size)  # views of tables, which a gather would copy
        ids = self._ids(rows, every)
        if not self.dense:
            return ids
        dense = self.encoder.embeddings.dense(self.features(every if rows is None else rows, self.dense) or {})
        return ids if dense is None else ids + dense

    def _ids(self, rows: Tensor | None, every: slice) -> Tensor:
        """Rows of the token table, or all that may be predicted; some as unknown in training with ``id_dropout``."""
        token = self.encoder.embeddings.token
        drops = self.training and self.id_dropout > 0 and bool(self.dense)
        if rows is None and not drops:
            return token.weight[every]
        if rows is None:
            rows = torch.arange(every.start, every.stop, device=token.weight.device)
        if self.unknown is not None:
            rows = rows.masked_fill(rows >= every.stop, self.unknown)
        ids: Tensor = token(drop_ids(rows, self.id_dropout, self.first_row, self.unknown) if drops else rows)
        return ids

    def vectors(self, table: Tensor) -> Tensor:
        """Rows of the token table as they enter the inner product."""
        return self.item_loss.item_side(table)


def drop_ids(tokens: Tensor, probability: float, first_row: int, unknown: int | None) -> Tensor:
    """Replace rows from ``first_row`` on by ``unknown``, each with a probability."""
    dropped = (torch.rand(tokens.shape, device=tokens.device) < probability) & (tokens >= first_row)
    return tokens.masked_fill(dropped, 0 if unknown is None else unknown)


def at(states: Tensor, positions: Tensor) -> Tensor:
    """States ``[batch, seq, dim]`` at ``positions [n]`` of the flattened batch: ``[n, dim]``."""
    return states.flatten(0, 1).index_select(0, positions)


class TrainedRows(Protocol):
    """Dense feature of rows that is computed by a module that is trained, in place of a table."""

    def __len__(self) -> int:
        """Count the rows."""

    def __call__(self, rows: Tensor | slice) -> Tensor:
        """Numbers ``[*rows.shape, width]``."""


class RowFeatures(nn.Module):
    """Looks up the side features of rows; no gradient flows into tables.

    Args:
        tables: ``[rows, width]`` by feature name: codes, 0 is none; or floats of dense features, 0 where there is none;
            or a module that computes these, which whoever trains it registers.
    """

    def __init__(self, tables: Mapping[str, NDArray[Any] | TrainedRows]) -> None:
        super().__init__()
        self.names, self.n_rows = list(tables), max((len(table) for table in tables.values()), default=0)
        self._trained: dict[int, TrainedRows] = {}
        for number, table in enumerate(tables.values()):  # by number: a feature's name may hold a dot, a buffer's not
            if isinstance(table, np.ndarray):
                self.register_buffer(f"table_{number}", torch.tensor(np.asarray(table)), persistent=False)
            else:
                self._trained[number] = table

    def forward(self, rows: Tensor | slice, names: Collection[str] | None = None) -> dict[str, Tensor] | None:
        """Values by name: ``[*rows.shape]`` for codes of width 1, ``[*rows.shape, width]`` otherwise; None without.

        Args:
            rows: Integer, any shape; or a range.
            names: Features that are looked up; None: all.
        """
        if not self.names:
            return None
        index = rows if isinstance(rows, slice) else rows.long()
        numbers = {name: number for number, name in enumerate(self.names) if names is None or name in names}
        values = {
            name: self._trained[number](index) if number in self._trained else getattr(self, f"table_{number}")[index]
            for name, number in numbers.items()
        }
        return {
            name: value.squeeze(-1) if value.shape[-1] == 1 and not value.is_floating_point() else value
            for name, value in values.items()
        }
