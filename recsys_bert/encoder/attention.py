"""Self-attention over fused kernels, and its mask."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.key_values import CachedPositions
from recsys_bert.errors import InputError


class RelativePositions(Protocol):
    """Relative positions; see ``recsys_bert.encoder.positions``."""

    def rotate(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """Turn queries or keys ``[batch, n_heads, seq, head_dim]``."""

    def bias(self, distance: Tensor) -> Tensor | None:
        """Added to the scores at distances ``[batch, query, key]``, ``[batch, n_heads, query, key]``; None: nothing."""


@dataclass(frozen=True)
class AttentionMask:
    """Attention mask of one forward pass, the same for every layer.

    Padding is on the right, so in causal mode no token attends to padding and no mask is needed. That keeps the fastest
    attention kernels in play, which is why this is no boolean tensor; a layer that needs that tensor calls ``full``.
    """

    causal: bool
    """True: a query attends to its own position and earlier ones."""

    key_mask: Tensor | None = None
    """bool ``[batch, 1, 1, seq]``, True where a key may be attended to; None = every key. Never all False in a row."""

    times: Tensor | None = None
    """Timestamp of each position: unix seconds, int64 ``[batch, seq]``; None if the encoder reads no times."""

    query_position: Tensor | None = None
    """int64 ``[batch]``: the only position of each row whose output is needed; None = all. For layers with
    ``last_position_only``."""

    relative: RelativePositions | None = None
    """Relative positions that ``SelfAttention`` applies; None if positions are embedded, or there are none."""

    visible: Tensor | None = None
    """bool ``[batch, 1, query, key]``, True where a query may attend to a key, in place of ``causal`` and ``key_mask``:
    of a prefix, or of rows of different lengths with a cache; None without these."""

    cache: CachedPositions | None = None
    """Positions of the queries and the layer's earlier keys and values; None: queries and keys are the same ones."""

    @classmethod
    def of(
        cls,
        mask: Tensor,
        causal: bool,
        padded: bool = True,
        times: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> "AttentionMask":
        """Build the mask of right-padded rows.

        Args:
            mask: bool ``[batch, seq]``, True = token, False = padding.
            causal: No position attends to a later one.
            padded: False if the caller knows that there is no padding.
            times: Unix seconds, int64 ``[batch, seq]``, for layers that read them.
            prefix: int64 ``[batch]``, positions at the beginning of each row that every position attends to; None: no
                prefix. Later ones are then attended to by themselves and those after them, whatever ``causal``.
        """
        if prefix is not None:
            position = torch.arange(mask.shape[1], device=mask.device)
            return cls(False, times=times, visible=visible_keys(position[None], len(position), prefix))
        if causal or not padded:
            return cls(causal, times=times)
        # The first position is a token unless the row is all padding: opening it changes no token and avoids a softmax
        # over no key, which is NaN.
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        return cls(causal, (mask | first)[:, None, None, :], times)

    def select_query(self, x: Tensor) -> Tensor:
        """Select the queries of ``[batch, seq, dim]``: all, or ``[batch, 1, dim]`` at ``query_position``."""
        if self.query_position is None:
            return x
        return x[torch.arange(x.shape[0], device=x.device), self.query_position][:, None]

    def full(self, seq: int, device: torch.device) -> Tensor:
        """Boolean mask ``[batch or 1, 1, query, key]``, True where a query may attend to a key; ``seq`` queries."""
        if self.visible is not None:
            return self.visible
        if self.cache is not None:
            return torch.ones(1, 1, seq, self.cache.n_keys, dtype=torch.bool, device=device)
        mask = torch.ones(seq, seq, dtype=torch.bool, device=device)
        mask = (mask.tril() if self.causal else mask)[None, None]
        return mask if self.key_mask is None else mask & self.key_mask

    def distance(self, seq: int, device: torch.device) -> Tensor:
        """Position of each query minus that of each key, int64 ``[batch or 1, query, key]``; ``seq`` queries."""
        if self.cache is None:
            position = torch.arange(seq, device=device)
            return (position[:, None] - position)[None]
        return self.cache.position[:, :, None] - torch.arange(self.cache.n_keys, device=device)

    def bias(self, seq: int, like: Tensor) -> Tensor:
        """Additive mask, −∞ where masked out, with the bias of relative positions, 0 without.

        Returns:
            ``[batch or 1, n_heads or 1, query or 1, key]`` of the dtype of ``like``.
        """
        visible = self.key_mask if self.visible is None else self.visible
        if self.causal:
            bias = torch.full((seq, seq), -torch.inf, dtype=like.dtype, device=like.device).triu(1)[None, None]
        else:
            bias = like.new_zeros(1, 1, 1, seq if self.cache is None else self.cache.n_keys)
        if (relative := self.relative_bias(seq, like.device)) is not None:
            bias = bias + relative.to(like.dtype)
        return bias if visible is None else bias.masked_fill(~visible, -torch.inf)

    @property
    def is_biased(self) -> bool:
        """True if relative positions add to the scores."""
        return self.relative is not None and self.relative.bias(torch.zeros(1, 1, 1, dtype=torch.long)) is not None

    def relative_bias(self, seq: int, device: torch.device) -> Tensor | None:
        """Bias of relative positions, float32 ``[batch or 1, n_heads, query, key]``; None without."""
        return None if self.relative is None else self.relative.bias(self.distance(seq, device))

    def rotate(self, x: Tensor, position: Tensor | None = None) -> Tensor:
        """Queries or keys ``[batch, n_heads, seq, head_dim]`` as relative positions turn them; ``x`` without."""
        if self.relative is None:
            return x
        return self.relative.rotate(x, self.cache.position if position is None and self.cache is not None else position)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``[batch, n_heads, seq, …]`` behind those of the cache; as they are without one."""
        return (key, value) if self.cache is None else self.cache.extend(key, value)


def visible_keys(position: Tensor, n_keys: int, prefix: Tensor | None = None) -> Tensor:
    """Keys that each query may attend to: its own position, earlier ones, and the prefix.

    Args:
        position: Of the queries, int64 ``[batch or 1, query]``.
        n_keys: Keys, at positions 0 to n_keys − 1.
        prefix: int64 ``[batch]``, positions that every query attends to; None: none.

    Returns:
        bool ``[batch or 1, 1, query, n_keys]``.
    """
    key = torch.arange(n_keys, device=position.device)
    visible = key <= position[:, :, None]
    return (visible if prefix is None else visible | (key < prefix[:, None, None]))[:, None]


UNFUSED_UP_TO = 512
"""Longest sequence for which 16-bit attention on CPU materialises its ``[batch, heads, seq, seq]`` weights."""


class SelfAttention(nn.Module):
    """Multi-head self-attention over PyTorch's fused kernels.

    Args:
        dim: Width of one position.
        n_heads: Heads; divides ``dim``.
        dropout: Probability in [0, 1) on attention weights. Above 0, PyTorch leaves its quick CPU kernel.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(dim, n_heads)
        check_probability("attention_dropout", dropout)
        self.n_heads = n_heads
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    @property
    def output_projection(self) -> nn.Linear:
        """Last linear map of the residual branch; see ``EncoderConfig.residual_init_scale``."""
        return self.out

    def split_heads(self, projected: Tensor, parts: int = 3) -> tuple[Tensor, ...]:
        """Split the output of ``qkv`` into query, key and value, each ``[batch, n_heads, seq, dim / n_heads]``."""
        batch, seq, width = projected.shape
        heads = projected.view(batch, seq, parts, self.n_heads, width // parts // self.n_heads).unbind(2)
        return tuple(part.transpose(1, 2) for part in heads)

    def merge_heads(self, mixed: Tensor) -> Tensor:
        """Merge heads ``[batch, n_heads, seq, dim / n_heads]`` and project to ``[batch, seq, dim]``."""
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Attend: ``[batch, seq, dim]`` → the same shape, or ``[batch, 1, dim]`` with ``query_position``."""
        if attention_mask.query_position is not None:
            return self.merge_heads(self._attend_at(x, attention_mask, attention_mask.query_position))
        projected = self.qkv(x)
        if projected.device.type != "cpu" or projected.dtype not in (torch.bfloat16, torch.float16):
            return self.merge_heads(self._attend(projected, attention_mask))
        if projected.shape[1] <= UNFUSED_UP_TO and not (self.training and self.dropout):
            return self.merge_heads(self._attend_unfused(projected, attention_mask))
        # PyTorch's CPU kernel needs up to twice as long in 16 bits as in float32, so autocast is off here.
        with torch.autocast("cpu", enabled=False):
            mixed = self._attend(projected.float(), attention_mask)
        return self.merge_heads(mixed.to(projected.dtype))

    def weights(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]``, query by key; every row sums to 1. For looking at them."""
        query, key, _ = self.split_heads(self.qkv(x))
        query, key = attention_mask.rotate(query), attention_mask.rotate(key)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return torch.softmax((scores + attention_mask.bias(x.shape[1], scores)).float(), dim=-1)

    def _attend_unfused(self, projected: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Softmax between two batched matrix products, in 16 bits on CPU much faster than the fused kernel."""
        query, key, value = self.split_heads(projected)
        query, key = attention_mask.rotate(query), attention_mask.rotate(key)
        key, value = attention_mask.extend(key, value)
        batch, heads, seq, width = query.shape
        bias = attention_mask.bias(seq, projected).expand(batch, heads, seq, key.shape[2])
        keys = key.flatten(0, 1).transpose(1, 2)
        scores = torch.baddbmm(bias.flatten(0, 1), query.flatten(0, 1), keys, alpha=width**-0.5)
        return torch.bmm(scores.softmax(dim=2), value.flatten(0, 1)).view(batch, heads, seq, width)

    def _attend_at(self, x: Tensor, attention_mask: AttentionMask, query_position: Tensor) -> Tensor:
        """Attend from one query per row; keys and values are computed at every position."""
        sizes = [self.out.in_features, 2 * self.out.in_features]  # numbers: a tensor's shape is traced in an export
        q_weight, kv_weight = self.qkv.weight.split(sizes)
        q_bias, kv_bias = self.qkv.bias.split(sizes)
        (query,) = self.split_heads(F.linear(attention_mask.select_query(x), q_weight, q_bias), 1)
        key, value = self.split_heads(F.linear(x, kv_weight, kv_bias), 2)
        query, key = attention_mask.rotate(query, query_position[:, None]), attention_mask.rotate(key)
        mask, position = attention_mask.key_mask, torch.arange(x.shape[1], device=x.device)
        if attention_mask.causal:
            mask = (position <= query_position[:, None])[:, None, None]
        if attention_mask.relative is not None:
            relative = attention_mask.relative.bias((query_position[:, None] - position)[:, None])
            if relative is not None:
                bias = relative.to(query.dtype)
                mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    def _attend(self, projected: Tensor, attention_mask: AttentionMask) -> Tensor:
        query, key, value = self.split_heads(projected)
        query, key = attention_mask.rotate(query), attention_mask.rotate(key)
        key, value = attention_mask.extend(key, value)
        mask = attention_mask.key_mask if attention_mask.visible is None else attention_mask.visible
        causal = attention_mask.causal
        if attention_mask.is_biased:  # a bias and is_causal exclude each other
            mask, causal = attention_mask.bias(query.shape[2], query), False
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal)


def masked_softmax(scores: Tensor, attention_mask: AttentionMask) -> Tensor:
    """Softmax of scores ``[batch, n_heads, query, key]`` over the keys that may be attended to, in float32."""
    masked = ~attention_mask.full(scores.shape[-2], scores.device)
    return torch.softmax(scores.float().masked_fill(masked, -torch.inf), dim=-1)


def check_heads(dim: int, n_heads: int) -> None:
    """Raise ``InputError`` unless ``n_heads`` divides ``dim``."""
    if n_heads < 1 or dim % n_heads:
        raise InputError(f"dim {dim} is not divisible by n_heads {n_heads}; change one of them.")


def check_probability(name: str, value: float) -> None:
    """Raise ``InputError`` for a probability outside [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"{name} is {value}; it must lie in [0, 1).")
