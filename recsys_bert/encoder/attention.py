"""Self-attention without visible scores, and what a query may look at."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.errors import InputError


@dataclass(frozen=True)
class AttentionMask:
    """Where a query may look; handed to every layer of one forward pass.

    Padding is on the right, so that in causal mode no real position can reach padding and no mask is needed at all.
    That keeps the quickest attention kernels in play, which is why this is not one big boolean tensor; a layer
    that needs that tensor calls ``full``.
    """

    causal: bool
    """True: a query sees its own position and earlier ones."""

    keys: Tensor | None = None
    """bool ``[batch, 1, 1, seq]``, True where a key may be looked at; None = every key. Never all False in a row."""

    times: Tensor | None = None
    """When each position happened: unix seconds, int64 ``[batch, seq]``; None where the encoder reads no times."""

    query_position: Tensor | None = None
    """int64 ``[batch]``: the one position of each row that a layer's output is read at; None = all. Only layers with
    ``last_position_only`` are given it."""

    @classmethod
    def of(cls, mask: Tensor, causal: bool, padded: bool = True, times: Tensor | None = None) -> "AttentionMask":
        """Describe attention over right-padded rows.

        Args:
            mask: bool ``[batch, seq]``.
            causal: No position sees a later one.
            padded: False where the caller knows that everything is real.
            times: Unix seconds, int64 ``[batch, seq]``, for layers that read them.
        """
        if causal or not padded:
            return cls(causal, times=times)
        # The first position is real unless the whole row is padding: opening it changes no real position and keeps
        # a softmax over nothing, which is NaN, from ever being taken.
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        return cls(causal, (mask | first)[:, None, None, :], times)

    def select_query(self, x: Tensor) -> Tensor:
        """What is asked for of ``[batch, seq, dim]``: all of it, or ``[batch, 1, dim]``."""
        return (
            x if self.query_position is None else x[torch.arange(len(x), device=x.device), self.query_position][:, None]
        )

    def full(self, seq: int, device: torch.device) -> Tensor:
        """The same as one mask: bool ``[batch or 1, 1, seq, seq]``, True where a query may look at a key."""
        mask = torch.ones(seq, seq, dtype=torch.bool, device=device)
        mask = (mask.tril() if self.causal else mask)[None, None]
        return mask if self.keys is None else mask & self.keys

    def bias(self, seq: int, like: Tensor) -> Tensor:
        """The same, to be added to scores: 0 or −∞, ``[batch or 1, 1, seq or 1, seq]`` of the type of ``like``."""
        if self.causal:
            barred = torch.full((seq, seq), -torch.inf, dtype=like.dtype, device=like.device).triu(1)[None, None]
        else:
            barred = like.new_zeros(1, 1, 1, seq)
        return barred if self.keys is None else barred.masked_fill(~self.keys, -torch.inf)


PLAIN_UP_TO = 512
"""Longest sequence for which 16-bit attention on CPU keeps its ``[batch, heads, seq, seq]`` weights."""


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
        """What the branch ends with; see ``EncoderConfig.residual_init_scale``."""
        return self.out

    def split(self, projected: Tensor, parts: int = 3) -> tuple[Tensor, ...]:
        """Cut what ``qkv`` gives to query, key and value, each ``[batch, n_heads, seq, dim / n_heads]``."""
        batch, seq, width = projected.shape
        cut = projected.view(batch, seq, parts, self.n_heads, width // parts // self.n_heads).unbind(2)
        return tuple(part.transpose(1, 2) for part in cut)

    def join(self, mixed: Tensor) -> Tensor:
        """Bring ``[batch, n_heads, seq, dim / n_heads]`` back to ``[batch, seq, dim]``."""
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Mix positions: ``[batch, seq, dim]`` → the same shape, or ``[batch, 1, dim]`` where one is asked for."""
        if attention_mask.query_position is not None:
            return self.join(self._mix_at(x, attention_mask, attention_mask.query_position))
        projected = self.qkv(x)
        if projected.device.type != "cpu" or projected.dtype not in (torch.bfloat16, torch.float16):
            return self.join(self._mix(projected, attention_mask))
        if projected.shape[1] <= PLAIN_UP_TO and not (self.training and self.dropout):
            return self.join(self._mix_plainly(projected, attention_mask))
        # PyTorch's CPU kernel needs up to twice as long in 16 bits as in float32, so autocast ends here for a moment.
        with torch.autocast("cpu", enabled=False):
            mixed = self._mix(projected.float(), attention_mask)
        return self.join(mixed.to(projected.dtype))

    def _mix_plainly(self, projected: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Softmax between two batched products, which CPUs do in 16 bits much faster than the fused kernel."""
        query, key, value = self.split(projected)
        batch, heads, seq, width = query.shape
        bias = attention_mask.bias(seq, projected).expand(batch, heads, seq, seq)
        keys = key.flatten(0, 1).transpose(1, 2)
        scores = torch.baddbmm(bias.flatten(0, 1), query.flatten(0, 1), keys, alpha=width**-0.5)
        return torch.bmm(scores.softmax(dim=2), value.flatten(0, 1)).view(batch, heads, seq, width)

    def _mix_at(self, x: Tensor, attention_mask: AttentionMask, query_position: Tensor) -> Tensor:
        """One query a row: keys and values everywhere, the rest where it is asked for."""
        (weight, rest), (bias, others) = (w.tensor_split([x.shape[2]]) for w in (self.qkv.weight, self.qkv.bias))
        (query,) = self.split(F.linear(attention_mask.select_query(x), weight, bias), 1)
        key, value = self.split(F.linear(x, rest, others), 2)
        keys = attention_mask.keys
        if attention_mask.causal:
            keys = (torch.arange(x.shape[1], device=x.device) <= query_position[:, None])[:, None, None]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=keys)

    def _mix(self, projected: Tensor, attention_mask: AttentionMask) -> Tensor:
        query, key, value = self.split(projected)
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask.keys, dropout_p=dropout, is_causal=attention_mask.causal
        )


def check_heads(dim: int, n_heads: int) -> None:
    """Raise ``InputError`` where heads do not divide the width."""
    if n_heads < 1 or dim % n_heads:
        raise InputError(f"dim {dim} is not divisible by n_heads {n_heads}; change one of them.")


def check_probability(name: str, value: float) -> None:
    """Raise ``InputError`` for a probability outside [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"{name} is {value}; it must lie in [0, 1).")
