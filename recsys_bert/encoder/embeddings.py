"""Input embeddings: token + position + segment + n-grams + exact match + time gap + side features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.adapter import Adapter
from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.exact_match import ExactMatch
from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.encoder.times import N_BUCKETS, time_buckets
from recsys_bert.errors import InputError


class Embeddings(nn.Module):
    """Sum of all embedding tables, then norm and dropout, then a projection to ``dim`` if factorised.

    Factorised as in ALBERT (https://arxiv.org/abs/1909.11942): tables are ``embedding_dim`` wide, one linear projection
    follows.

    Args:
        config: Sizes.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.dim if config.embedding_dim is None else config.embedding_dim
        self.config = config
        self.token = nn.Embedding(config.vocab_size, width, padding_idx=0)
        self.position = nn.Embedding(config.max_len, width) if config.has_position_table else None
        self.segment = nn.Embedding(config.n_segments, width) if config.n_segments else None
        self.ngrams = NGrams(config.ngrams, config.ngram_rows, width) if config.ngrams > 1 else None
        self.exact_match = ExactMatch(config.exact_match, width) if config.exact_match else None
        self.gap = nn.Embedding(1 + N_BUCKETS, width) if config.time_gaps else None  # row 0: no event before
        # A ModuleDict's keys may hold no dot, but a feature's name may: hence a list.
        self.features = nn.ModuleList(_feature_module(feature, width) for feature in config.features)
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
        position: Tensor | None = None,
    ) -> Tensor:
        """Embed a batch.

        Args:
            tokens: Rows of the token table, integer ``[batch, seq]``, already checked.
            mask: bool ``[batch, seq]``.
            segments: Rows of the segment table ``[batch, seq]``; None = segment 0 everywhere.
            features: Values by name, ``[batch, seq]`` or ``[batch, seq, width]``; floats of dense ones.
            times: Unix seconds, int64 ``[batch, seq]``, already checked; required with ``time_gaps``.
            position: int64 ``[batch, seq]`` where positions count from the ``start``; None: from 0.

        Returns:
            ``[batch, seq, dim]``.

        Raises:
            InputError: Features or segments are missing, unknown, out of range or of the wrong shape.
        """
        x = self.token(tokens)
        if self.position is not None:
            x = x + self._positions(self.position.weight, mask, position)
        if segments is not None or self.segment is not None:
            x = x + self._segments(tokens, segments)
        if self.ngrams is not None:
            x = x + self.ngrams(tokens, mask)
        if self.exact_match is not None:
            if segments is None:
                raise InputError(
                    "the encoder has exact_match, which compares two segments, but got no segments; pass segments."
                )
            x = x + self.exact_match(tokens, mask, segments)
        if self.gap is not None and times is not None:
            x = x + self.gap(F.pad(1 + time_buckets(times[:, 1:] - times[:, :-1]), (1, 0)))
        for table, feature, values in self._features(tokens, features or {}):
            x = x + _embed_feature(table, feature, values)
        return self.projection(self.dropout(self.norm(x)))

    def dense(self, values_by_name: dict[str, Tensor]) -> Tensor | None:
        """Sum of the adapters of dense features ``[…, width]`` by name: ``[…, embedding width]``; None without any."""
        parts = [
            adapter(values_by_name[feature.name])
            for adapter, feature in zip(self.features, self.config.features, strict=True)
            if feature.width
        ]
        return sum(parts[1:], parts[0]) if parts else None

    def init_sinusoidal(self) -> None:
        """Initialise the position table with sinusoids (https://arxiv.org/abs/1706.03762) of std ``init_std``."""
        if self.position is None:
            return
        rows, width = self.position.weight.shape
        rates = 10_000 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(rows)[:, None] * rates
        waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
        with torch.no_grad():
            self.position.weight.copy_(waves * (2**0.5 * self.config.init_std))  # a sinusoid's std is 1/√2

    def _positions(self, table: Tensor, mask: Tensor, position: Tensor | None) -> Tensor:
        seq = mask.shape[1]
        if self.config.position == "start":
            return table[:seq] if position is None else F.embedding(position, table)
        from_last = mask.sum(1, keepdim=True) - 1 - torch.arange(seq, device=mask.device)
        return F.embedding(from_last.clamp_(min=0), table)  # padding shares row 0 and is masked out

    def _segments(self, tokens: Tensor, segments: Tensor | None) -> Tensor:
        if self.segment is None:
            raise InputError("got segments, but n_segments is 0; leave them out or set n_segments.")
        if segments is None:
            return self.segment.weight[0]
        check_rows("segments", segments, self.segment.num_embeddings, tokens.shape)
        return self.segment(segments)

    def _features(
        self, tokens: Tensor, values_by_name: dict[str, Tensor]
    ) -> list[tuple[nn.Module, FeatureConfig, Tensor]]:
        known = [feature.name for feature in self.config.features]
        if set(known) != set(values_by_name):
            raise InputError(
                f"the encoder's side features are {sorted(known)}, got {sorted(values_by_name)}; pass exactly these."
            )
        for feature in self.config.features:
            values = values_by_name[feature.name]
            if feature.width:
                _check_dense(feature, values, tokens)
                continue
            shape = (*tokens.shape, *values.shape[2:3]) if feature.multi else tuple(tokens.shape)
            if feature.multi and values.ndim != 3:
                raise InputError(
                    f"feature {feature.name!r} has shape {list(values.shape)}; it must be [batch, seq, width]."
                )
            check_rows(f"feature {feature.name!r}", values, feature.size, shape)
        return [
            (table, feature, values_by_name[feature.name])
            for table, feature in zip(self.features, self.config.features, strict=True)
        ]


def is_zero_initialised(weight: str) -> bool:
    """True if the encoder weight of this dotted name is initialised to 0 and can be added to a trained encoder."""
    return weight.startswith(("embeddings.ngrams.", "embeddings.exact_match."))


def _feature_module(feature: FeatureConfig, width: int) -> nn.Module:
    return Adapter(feature.width, width) if feature.width else nn.Embedding(feature.size, width, padding_idx=0)


def _check_dense(feature: FeatureConfig, values: Tensor, tokens: Tensor) -> None:
    shape = [*tokens.shape, feature.width]
    if not torch.onnx.is_in_onnx_export() and (list(values.shape) != shape or not values.is_floating_point()):
        raise InputError(
            f"feature {feature.name!r} is {values.dtype} {list(values.shape)}; it must be floats of shape {shape}."
        )


def _embed_feature(table: nn.Module, feature: FeatureConfig, values: Tensor) -> Tensor:
    if not feature.multi:
        return table(values)
    weight = table.weight
    assert isinstance(weight, Tensor)
    return bag_means(values.flatten(0, 1), weight).view(*values.shape[:2], -1)


def bag_means(codes: Tensor, weight: Tensor) -> Tensor:
    """Mean embedding ``[n, dim]`` of codes ``[n, width]``, without those that are 0; 0 where all are."""
    if torch.onnx.is_in_onnx_export():  # ONNX has no bags: they would become a loop
        counted = (codes != 0).to(weight.dtype)[..., None]
        return (F.embedding(codes.long(), weight) * counted).sum(1) / counted.sum(1).clamp(min=1)
    # embedding_bag leaves padding_idx out of the mean and never builds [n, width, dim].
    return F.embedding_bag(codes, weight, mode="mean", padding_idx=0)


def check_rows(name: str, rows: Tensor, size: int, shape: tuple[int, ...]) -> None:
    """Raise ``InputError`` for rows of the wrong shape or dtype, or outside ``[0, size)``."""
    if torch.onnx.is_in_onnx_export():
        return
    if tuple(rows.shape) != tuple(shape):
        raise InputError(f"{name} has shape {list(rows.shape)}; it must be {list(shape)}.")
    if rows.dtype not in (torch.int64, torch.int32):
        raise InputError(f"{name} holds {rows.dtype}; rows must be int64 or int32.")
    if rows.numel():
        low, high = torch.stack(rows.aminmax()).tolist()
        if low < 0 or high >= size:
            raise InputError(f"{name} holds rows from {low} to {high}; the table has rows 0 to {size - 1}.")
