"""The history as vectors: plain item embeddings, or the pretrained encoder."""

import torch
from torch import Tensor, nn

from recsys_bert.clicks.vocabulary import MASK, UNKNOWN
from recsys_bert.encoder.times import repeat_last
from recsys_bert.objectives.token_prediction import TokenPrediction

Read = tuple[Tensor, Tensor, Tensor, Tensor]
"""Vectors of the history ``[batch, seq, dim]``, of the history as a whole and of the target ``[batch, dim]``, and how
well the last two match ``[batch]``."""


class PlainItems(nn.Module):
    """One embedding table for history and target; the history as a whole is its mean.

    Args:
        n_rows: Rows of the item table; rows beyond it are read as unknown.
        dim: Width of a vector.
        init_std: Standard deviation of the embeddings at the start.
    """

    def __init__(self, n_rows: int, dim: int, init_std: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_rows, dim, padding_idx=0)
        nn.init.normal_(self.items.weight, std=init_std)
        nn.init.zeros_(self.items.weight[0])
        self.nobody = nn.Parameter(torch.randn(dim) * init_std)

    def forward(self, history: Tensor, target: Tensor) -> Read:
        """Read rows ``[batch, seq]``, padded with 0 on the right, and target rows ``[batch]``."""
        n_rows = self.items.num_embeddings
        vectors = self.items(history.masked_fill(history >= n_rows, UNKNOWN))
        shown = self.items(target.masked_fill(target >= n_rows, UNKNOWN))
        length = (history != 0).sum(1, keepdim=True)
        whole = torch.where(length > 0, vectors.sum(1) / length.clamp(min=1), self.nobody)
        return vectors, whole, shown, (whole * shown).sum(1)


class EncodedItems(nn.Module):
    """The pretrained encoder reads the history; the target is looked up in its item table.

    The history as a whole is what the encoder predicts from: the output at the newest item, or, after masked
    training, at a mask that is appended. It is compared with the target as in pretraining, and both, and every
    position, are mapped to the fields' width by one shared linear map, so that heads which compare them start from
    the learned geometry.

    Args:
        prediction: The encoder and how its outputs are compared with items.
        masked: It was trained on masked items.
        dim: Width of a vector.
        frozen: It stays as it is: no gradient, no dropout.
    """

    def __init__(self, prediction: TokenPrediction, masked: bool, dim: int, frozen: bool) -> None:
        super().__init__()
        self.prediction, self.masked, self.frozen = prediction, masked, frozen
        width = prediction.encoder.embeddings.token.embedding_dim
        # compared by cosine, outputs come divided by the temperature; fields want them as long as items are
        self.scale = prediction.loss.temperature if prediction.loss.similarity == "cosine" else 1.0
        self.narrow = nn.Linear(width, dim)
        if not masked:
            self.nobody = nn.Parameter(torch.randn(width) * 0.02)
        if frozen:
            prediction.requires_grad_(False)

    def train(self, mode: bool = True) -> "EncodedItems":
        """Leave a frozen encoder in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.prediction.eval()
        return self

    def forward(
        self, history: Tensor, target: Tensor, whole: Tensor | None = None, times: Tensor | None = None
    ) -> Read:
        """Read rows ``[batch, seq]``, padded with 0 on the right, and target rows ``[batch]``.

        Args:
            history: What came before; only whether there is anything matters where ``whole`` is given.
            target: Items shown.
            whole: What ``encode`` said of the history before, ``[batch, width]``; then no position has a vector.
            times: When the history happened, unix seconds ``[batch, seq]``, where the encoder reads that.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if whole is None:
                states, whole = self.encode(history, times)
            else:
                states = whole.new_zeros(len(whole), 0, whole.shape[1])
            encoder = self.prediction.encoder
            shown = target.masked_fill(target >= encoder.config.vocab_size, UNKNOWN).long()
            item = self.prediction.vectors(encoder.embeddings.token(shown))
        if not self.masked:  # a causal encoder has nothing to say about nobody
            whole = torch.where((history != 0).any(1, keepdim=True), whole, self.nobody)
        match = (whole * item).sum(1)
        return self.narrow(states * self.scale), self.narrow(whole * self.scale), self.narrow(item), match

    @property
    def reads_times(self) -> bool:
        """Whether times are to be given along with histories."""
        return self.prediction.encoder.config.needs_times

    def encode(self, history: Tensor, times: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs where items are compared: of each position ``[batch, seq, width]`` and of the whole."""
        prediction, rows = self.prediction, history
        lengths = (history != 0).sum(1)
        here = torch.arange(len(rows), device=rows.device)
        if self.masked:
            rows = torch.cat([rows, rows.new_zeros(len(rows), 1)], 1)
            rows[here, lengths] = MASK
            times = None if times is None else repeat_last(times, lengths)
        newest = lengths if self.masked else (lengths - 1).clamp(min=0)
        if not rows.shape[1]:
            rows = history.new_zeros(len(rows), 1)
            times = None if times is None else times.new_zeros(len(rows), 1)
        tokens = rows.masked_fill(rows >= prediction.encoder.config.vocab_size, UNKNOWN)
        encoded = prediction.encoder(tokens, features=prediction.features(rows), times=times)
        outputs = prediction.queries(encoded.tokens.flatten(0, 1)).unflatten(0, encoded.tokens.shape[:2])
        return outputs[:, : history.shape[1]], outputs[here, newest]
