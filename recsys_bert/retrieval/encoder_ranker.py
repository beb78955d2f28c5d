"""A pretrained encoder as a ranker."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.clicks.queries import Queries
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.retrieval.ranker import InnerProducts
from recsys_bert.retrieval.user_side import UserSide
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder
from recsys_bert.user_encoder.trained_text import text_of, trained_text


class EncoderRanker(InnerProducts):
    """Ranker of a pretrained encoder: its output at a history's query times the item table.

    Args:
        pretrained: The encoder; its objective says what the query is, an appended mask or the last click.
        name: Shown in tables.
        precision: See ``encode_queries``.
    """

    def __init__(self, pretrained: PretrainedEncoder, name: str = "encoder", precision: Precision = "auto") -> None:
        self.pretrained, self.name, self.precision = pretrained, name, precision
        self.prediction = pretrained.prediction
        self.first_item = self.prediction.first_row

    @property
    def reads_times(self) -> bool:
        """True iff the encoder reads timestamps."""
        return self.pretrained.reads_times

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        rows, dim = self.pretrained.encoder.embeddings.token.weight.shape
        return (max(rows, self.prediction.features.n_rows) if self.prediction.dense else rows), dim

    @property
    def item_length(self) -> float | None:
        """1 for cosine."""
        return self.prediction.item_loss.item_length

    @property
    def item_texts(self) -> ItemVectors | None:
        """Text vectors of items that the encoder reads; None without text."""
        text = None if self.pretrained.known is None else text_of(self.pretrained.known)
        return None if text is None else text.vectors

    def item_vectors(self) -> NDArray[np.float32]:
        """``[n_rows, d]``; items without training events are among them where the encoder reads dense features."""
        device = self.prediction.encoder.embeddings.token.weight.device
        with torch.no_grad():
            parts = torch.arange(self.shape[0], device=device).split(1 << 16)
            return torch.cat([self.prediction.items(part).float() for part in parts]).cpu().numpy()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        if self.pretrained.known is not None and (texts := trained_text(self.pretrained.known)) is not None:
            texts.catalogue()  # once, before threads look rows up
        return self.user_side.encode(queries, self.precision)

    @property
    def user_side(self) -> UserSide:
        """The encoder at a history's query."""
        return UserSide(
            _QueryEncoder(self.pretrained),
            self.pretrained.longest_history,
            reads_users=False,
            reads_times=self.reads_times,
            reads_event_types=self.pretrained.reads_event_types,
        )


class _QueryEncoder(nn.Module):
    """See ``UserSide.module``."""

    def __init__(self, pretrained: PretrainedEncoder) -> None:
        super().__init__()
        self.pretrained, self.prediction = pretrained, pretrained.prediction

    def forward(
        self, rows: Tensor, lengths: Tensor, users: Tensor, times: Tensor | None, event_types: Tensor | None
    ) -> Tensor:
        return self.pretrained.encode_last(rows, lengths, times, event_types)
