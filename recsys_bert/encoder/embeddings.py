"""What a position is before the first layer: token + position + segment + runs + time gap + side features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.exact_match import ExactMatch
from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.encoder.times import N_BUCKETS, span_buckets
from recsys_bert.errors import InputError


class Embeddings(nn.Module):
    """Sum of all tables, then norm and dropout, then a map to the layers' width where the tables are narrower.

    Factorised as in ALBERT (https://arxiv.org/abs/1909.11942): every table is ``embedding_dim`` wide and one linear
    map follows.

    Args:
        config: The encoder's sizes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.dim if config.embedding_dim is None else config.embedding_dim
        self.config = config
        self.token = nn.Embedding(config.vocab_size, width, padding_idx=0)
        self.position = nn.Embedding(config.max_len, width) if config.position != "none" else None
        self.segment = nn.Embedding(config.n_segments, width) if config.n_segments else None
        self.ngrams = NGrams(config.ngrams, config.ngram_rows, width) if config.ngrams > 1 else None
        self.exact_match = ExactMatch(config.exact_match, width) if config.exact_match else None
        self.gap = nn.Embedding(1 + N_BUCKETS, width) if config.time_gaps else None  # row 0: nothing came before
        # A ModuleDict's keys may hold no dot, which a feature's name may; so the tables are kept in order instead.
        self.features = nn.ModuleList(nn.Embedding(feature.size, width, padding_idx=0) for feature in config.features)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps) if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.projection = nn.Linear(width, config.dim) if config.embedding_dim is not None else nn.Identity()

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        segments: Tensor | None,
        features: dict[str, Tensor] | None,
        times: Tensor | None = None,
    ) -> Tensor:
        """Embed every position.

        Args:
            tokens: Rows of the token table, integer ``[batch, seq]``, already checked.
            mask: bool ``[batch, seq]``.
            segments: Rows of the segment table ``[batch, seq]``; None = segment 0 everywhere.
            features: Values by name, ``[batch, seq]`` or ``[batch, seq, width]``.
            times: Unix seconds, int64 ``[batch, seq]``, already checked; needed where time gaps are read.

        Returns:
            ``[batch, seq, dim]``.

        Raises:
            InputError: Features or segments missing, not known, out of range or of the wrong shape.
        """
        x = self.token(tokens)
        if self.position is not None:
            x = x + self._positions(self.position.weight, mask)
        if segments is not None or self.segment is not None:
            x = x + self._segments(tokens, segments)
        if self.ngrams is not None:
            x = x + self.ngrams(tokens, mask)
        if self.exact_match is not None:
            if segments is None:
                raise InputError("the encoder reads what two segments share (exact_match), but no segments came.")
            x = x + self.exact_match(tokens, mask, segments)
        if self.gap is not None and times is not None:
            x = x + self.gap(F.pad(1 + span_buckets(times.diff()), (1, 0)))
        for table, feature, values in self._features(tokens, features or {}):
            x = x + _embed_feature(table, feature, values)
        return self.projection(self.dropout(self.norm(x)))

    def place_sinusoids(self) -> None:
        """Start the position table on sinusoids (https://arxiv.org/abs/1706.03762) of the size ``init_std``."""
        if self.position is None:
            return
        rows, width = self.position.weight.shape
        rates = 10_000 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(rows)[:, None] * rates
        waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
        with torch.no_grad():
            self.position.weight.copy_(waves * (2**0.5 * self.config.init_std))  # a sinusoid's deviation is 1/√2

    def _positions(self, table: Tensor, mask: Tensor) -> Tensor:
        seq = mask.shape[1]
        if self.config.position == "start":
            return table[:seq]
        ahead = mask.sum(1, keepdim=True) - 1 - torch.arange(seq, device=mask.device)
        return F.embedding(ahead.clamp_(min=0), table)  # padding shares row 0; nobody looks at it

    def _segments(self, tokens: Tensor, segments: Tensor | None) -> Tensor:
        if self.segment is None:
            raise InputError("segments are given but n_segments is 0; leave them out or set n_segments.")
        if segments is None:
            return self.segment.weight[0]
        check_rows("segments", segments, self.segment.num_embeddings, tokens.shape)
        return self.segment(segments)

    def _features(self, tokens: Tensor, given: dict[str, Tensor]) -> list[tuple[nn.Module, FeatureConfig, Tensor]]:
        known = [feature.name for feature in self.config.features]
        if set(known) != set(given):
            raise InputError(
                f"the encoder's side features are {sorted(known)}, but {sorted(given)} came; give exactly these."
            )
        for feature in self.config.features:
            values = given[feature.name]
            shape = (*tokens.shape, *values.shape[2:3]) if feature.multi else tuple(tokens.shape)
            if feature.multi and values.ndim != 3:
                raise InputError(
                    f"feature {feature.name!r} has shape {list(values.shape)}; it must be [batch, seq, width]."
                )
            check_rows(f"feature {feature.name!r}", values, feature.size, shape)
        return [
            (table, feature, given[feature.name])
            for table, feature in zip(self.features, self.config.features, strict=True)
        ]


def starts_at_zero(weight: str) -> bool:
    """Whether a weight of an encoder, by its dotted name, starts at 0, so that it can be added to a trained encoder."""
    return weight.startswith(("embeddings.ngrams.", "embeddings.exact_match."))


def _embed_feature(table: nn.Module, feature: FeatureConfig, values: Tensor) -> Tensor:
    if not feature.multi:
        return table(values)
    weight = table.weight
    assert isinstance(weight, Tensor)
    # A bag leaves out padding_idx from the mean and never builds [batch, seq, width, dim].
    bags = F.embedding_bag(values.flatten(0, 1), weight, mode="mean", padding_idx=0)
    return bags.view(*values.shape[:2], -1)


def check_rows(what: str, rows: Tensor, size: int, shape: tuple[int, ...]) -> None:
    """Raise ``InputError`` for rows of the wrong shape or type, or outside ``[0, size)``."""
    if tuple(rows.shape) != tuple(shape):
        raise InputError(f"{what} has shape {list(rows.shape)}; it must be {list(shape)}.")
    if rows.dtype not in (torch.int64, torch.int32):
        raise InputError(f"{what} holds {rows.dtype}; rows must be int64 or int32.")
    if rows.numel():
        low, high = torch.stack(rows.aminmax()).tolist()
        if low < 0 or high >= size:
            raise InputError(f"{what} holds rows from {low} to {high}; the table has rows 0 to {size - 1}.")
