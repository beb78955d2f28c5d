"""The history as vectors: plain item embeddings, or the pretrained encoder."""

import torch
from torch import Tensor, nn

from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder

HistoryVectors = tuple[Tensor, Tensor, Tensor, Tensor]
"""Position vectors ``[batch, seq, dim]``, pooled history and target ``[batch, dim]``, and the score of the last two
``[batch]``."""


class PlainItems(nn.Module):
    """One embedding table for history and target; the history is pooled by its mean.

    Args:
        n_rows: Rows of the item table; rows beyond it are read as unknown.
        dim: Width of a vector.
        init_std: Standard deviation of the initial embeddings.
    """

    def __init__(self, n_rows: int, dim: int, init_std: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_rows, dim, padding_idx=0)
        nn.init.normal_(self.items.weight, std=init_std)
        nn.init.zeros_(self.items.weight[0])
        self.empty_history = nn.Parameter(torch.randn(dim) * init_std)

    def forward(self, history: Tensor, target: Tensor) -> HistoryVectors:
        """Read rows ``[batch, seq]``, padded with 0 on the right, and target rows ``[batch]``."""
        n_rows = self.items.num_embeddings
        vectors = self.items(history.masked_fill(history >= n_rows, UNKNOWN))
        item = self.items(target.masked_fill(target >= n_rows, UNKNOWN))
        length = (history != 0).sum(1, keepdim=True)
        pooled = torch.where(length > 0, vectors.sum(1) / length.clamp(min=1), self.empty_history)
        return vectors, pooled, item, (pooled * item).sum(1)


class EncodedItems(nn.Module):
    """Pretrained encoder over the history; the target is looked up in its item table.

    The pooled history is the output at the query position: the last item, or an appended mask, as the encoder's
    objective has it. It is compared with the target as in pretraining. Both, and every position, share one linear
    projection to the fields' width, so that heads which compare them start from the learned geometry.

    Args:
        pretrained: The encoder, its scores of items, and the query at test time.
        dim: Width of a vector.
        frozen: No gradient and no dropout in the encoder.
    """

    def __init__(self, pretrained: PretrainedEncoder, dim: int, frozen: bool) -> None:
        super().__init__()
        prediction = pretrained.prediction
        self.pretrained, self.prediction, self.frozen = pretrained, prediction, frozen
        width = prediction.encoder.embeddings.token.embedding_dim
        # queries of cosine scores come divided by the temperature; as fields they get the length of items
        self.scale = prediction.loss.temperature if prediction.loss.similarity == "cosine" else 1.0
        self.projection = nn.Linear(width, dim)
        if not pretrained.reads_empty_histories:
            self.empty_history = nn.Parameter(torch.randn(width) * 0.02)
        if frozen:
            prediction.requires_grad_(False)

    def train(self, mode: bool = True) -> "EncodedItems":
        """Leave a frozen encoder in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.prediction.eval()
        return self

    def forward(
        self,
        history: Tensor,
        target: Tensor,
        pooled: Tensor | None = None,
        times: Tensor | None = None,
        event_types: Tensor | None = None,
    ) -> HistoryVectors:
        """Read rows ``[batch, seq]``, padded with 0 on the right, and target rows ``[batch]``.

        Args:
            history: With ``pooled``, one event is enough: it tells empty histories from others.
            target: Target items.
            pooled: Cached output of ``encode``, ``[batch, width]``; there are no position vectors then.
            times: Timestamps of the history, unix seconds ``[batch, seq]``; required iff ``reads_times``.
            event_types: Codes of its event types ``[batch, seq]``; required iff ``reads_event_types``.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if pooled is None:
                states, pooled = self.encode(history, times, event_types)
            else:
                states = pooled.new_zeros(len(pooled), 0, pooled.shape[1])
            if not self.prediction.dense:  # nothing would tell new items apart
                target = target.masked_fill(target >= self.prediction.encoder.config.vocab_size, UNKNOWN)
            item = self.prediction.items(target.long())
        if not self.pretrained.reads_empty_histories:
            pooled = torch.where((history != 0).any(1, keepdim=True), pooled, self.empty_history)
        match = (pooled * item).sum(1)
        return self.projection(states * self.scale), self.projection(pooled * self.scale), self.projection(item), match

    @property
    def reads_times(self) -> bool:
        """True if the encoder needs the timestamps of histories."""
        return self.pretrained.reads_times

    @property
    def reads_event_types(self) -> bool:
        """True if the encoder needs the event types of histories."""
        return self.pretrained.reads_event_types

    def encode(
        self, history: Tensor, times: Tensor | None = None, event_types: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Queries to compare with items: at each position ``[batch, seq, width]``, and pooled ``[batch, width]``."""
        lengths = (history != 0).sum(1)
        rows, lengths, times, types = self.pretrained.append_query(history, lengths, times, event_types)
        if not rows.shape[1]:
            rows = history.new_zeros(len(rows), 1)
            times, types = (None if one is None else one.new_zeros(len(rows), 1) for one in (times, types))
        tokens = self.pretrained.encode(rows, times, types).tokens
        outputs = self.prediction.queries(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        query_position = (lengths - 1).clamp(min=0)
        return outputs[:, : history.shape[1]], outputs[torch.arange(len(rows), device=rows.device), query_position]
