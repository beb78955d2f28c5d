"""A pretrained encoder as a ranker."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK
from recsys_bert.encoder.times import repeat_last
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.ranker import recommend
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.checkpoint import Objective
from recsys_bert.user_encoder.encode import encode_queries, last_states


class EncoderRanker:
    """A pretrained encoder as it is: the state at the appended mask, or at the newest click, against the item table.

    Args:
        prediction: The trained module.
        objective: What it was trained for.
        name: Shown in tables.
        precision: See ``encode_queries``.
    """

    def __init__(
        self,
        prediction: TokenPrediction,
        objective: Objective,
        name: str = "encoder",
        precision: Precision = "auto",
    ) -> None:
        self.prediction, self.objective, self.name, self.precision = prediction, objective, name, precision
        self.first_row = prediction.first_row

    @property
    def reads_times(self) -> bool:
        """Whether the encoder reads when events happened."""
        return self.prediction.encoder.config.needs_times

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

    def recommend(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        return recommend(self, queries, k, exclude_seen)

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
