"""A pretrained encoder as a ranker."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK
from recsys_bert.encoder.times import repeat_last
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.ranker import Lists, full_ranking
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.checkpoint import Objective
from recsys_bert.user_encoder.encode import encode_queries, last_states


class EncoderRanker:
    """Ranker of a pretrained encoder: its state at the appended mask, or at the last click, times the item table.

    Args:
        prediction: The trained module.
        objective: What it was trained for.
        name: Shown in tables.
        precision: See ``encode_queries``.
    """

    reranks = False

    def __init__(
        self,
        prediction: TokenPrediction,
        objective: Objective,
        name: str = "encoder",
        precision: Precision = "auto",
    ) -> None:
        self.prediction, self.objective, self.name, self.precision = prediction, objective, name, precision
        self.first_item = prediction.first_row

    @property
    def reads_times(self) -> bool:
        """True iff the encoder reads timestamps."""
        return self.prediction.encoder.config.needs_times

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        rows, dim = self.prediction.encoder.embeddings.token.weight.shape
        return rows, dim

    @property
    def item_length(self) -> float | None:
        """1 for cosine."""
        return self.prediction.item_loss.item_length

    def item_vectors(self) -> NDArray[np.float32]:
        """``[vocab_size, d]``; items without training events have no vector here."""
        with torch.no_grad():
            return self.prediction.vectors(self.prediction.encoder.embeddings.token.weight).float().cpu().numpy()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        encoder = self.prediction.encoder
        device, config = encoder.embeddings.token.weight.device, encoder.config
        length = config.max_len - self._appended
        return encode_queries(
            queries, self._encode, length, times=config.needs_times, device=device, precision=self.precision
        )

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        return full_ranking(self, queries, k, exclude_seen)

    def rerank(self, lists: Lists, users: Any, queries: Queries, *, items: Any, exclude_seen: bool) -> Lists:
        """Lists as they are: the score is the inner product."""
        return lists

    @property
    def _appended(self) -> int:
        return 1 if self.objective == "masked" else 0

    def _encode(self, rows: Tensor, lengths: Tensor, users: Tensor, times: Tensor | None) -> Tensor:
        prediction = self.prediction
        if self.objective == "masked":
            rows = torch.cat([rows, rows.new_zeros(len(rows), 1)], dim=1)
            rows[torch.arange(len(rows), device=rows.device), lengths] = MASK
            times = None if times is None else repeat_last(times, lengths)
            lengths = lengths + 1
        hidden = last_states(prediction.encoder, rows, lengths, prediction.features(rows), times)
        return prediction.queries(hidden)
