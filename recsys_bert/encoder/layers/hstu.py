"""HSTU layer (https://arxiv.org/abs/2402.17152): attention without softmax, biased by distance and time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, check_heads
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.times import N_BUCKETS, pairwise_time_buckets
from recsys_bert.errors import InputError


class HstuLayer(nn.Module):
    """One branch and no feed-forward: ``x + W₂ dropout(norm(A V) ⊙ U)``, ``U, V, Q, K = silu(W₁ norm(x))``.

    ``A = silu(Q Kᵀ + bias) / n`` weighs every key on its own, so that intensity counts, not only shares. The bias is
    shared by the heads: one number for each distance in positions and, with times, one for each bucket of the time
    between (see ``recsys_bert.encoder.times``).

    Differs from the published code where that looks beyond the past or at padding: there the time between i and j runs
    from j to the event *after* i, here to i itself; there n is the longest length, here the number of keys that a
    query may attend to. Linear maps have a bias and norms are affine, as in all layers here.

    Holds several ``[batch, n_heads, seq, seq]`` in memory. The output is not normalised, so the encoder
    applies a norm after the fusion.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) before the branch's output projection.
        timed: Read the time between positions; set by the encoder.
        max_distance: Largest distance, in positions, with a bias of its own; larger ones share the last.
        norm_eps: Added to the variance in the norms.
    """

    ends_with_norm = False
    cacheable = True

    def __init__(
        self,
        dim: int,
        n_heads: int,
        dropout: float,
        *,
        timed: bool = False,
        max_distance: int = 256,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_heads(dim, n_heads)
        if max_distance < 1:
            raise InputError(f"max_distance is {max_distance}; it must be at least 1.")
        self.n_heads, self.max_distance = n_heads, max_distance
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.uvqk = nn.Linear(dim, 4 * dim)
        self.distance_bias = nn.Parameter(torch.randn(2 * max_distance + 1) * 0.02)
        self.time_bias = nn.Parameter(torch.randn(N_BUCKETS) * 0.02) if timed else None
        self.mixed_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(dim, dim)

    @property
    def output_projection(self) -> nn.Linear:
        """Last linear map of the residual branch; see ``EncoderConfig.residual_init_scale``."""
        return self.out

    def forward(
        self, x: Tensor, attention_mask: AttentionMask, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the layer.

        Args:
            x: ``[batch, seq, dim]``.
            attention_mask: See ``AttentionMask``; with the times of positions.
            state: Time buckets of a layer before, int32 ``[batch, seq, seq]``; None in the first.

        Returns:
            ``[batch, seq, dim]`` and the time buckets; None without times.
        """
        if state is None and self.time_bias is not None and attention_mask.times is not None:
            state = pairwise_time_buckets(attention_mask.times)
        gate, value, query, key = F.silu(self.uvqk(self.norm(x))).chunk(4, dim=-1)
        bias = self._bias(query, attention_mask, state)
        key, value = (part[:, 0] for part in attention_mask.extend(key[:, None], value[:, None]))
        mixed = self._attend(query, key, value, bias)
        mixed = self.mixed_norm(mixed / _n_keys(attention_mask, x.shape[1], x.device))
        return x + self.out(self.dropout(mixed * gate)), state

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Σ silu(score) · value, ``[batch, seq, dim]``."""
        batch, seq, _ = query.shape  # head by head, so that the bias, which they share, is not copied for each
        bias = bias.expand(batch, seq, key.shape[1])
        heads = zip(*(part.chunk(self.n_heads, dim=-1) for part in (query, key, value)), strict=True)
        return torch.cat([F.silu(torch.baddbmm(bias, q, k.transpose(1, 2))) @ v for q, k, v in heads], dim=-1)

    def _bias(self, like: Tensor, attention_mask: AttentionMask, buckets: Tensor | None) -> Tensor:
        """Bias of the scores, ``[batch or 1, query, key]``; so low where masked out that silu is 0."""
        distance = attention_mask.distance(like.shape[1], like.device)
        rows = distance.clamp(-self.max_distance, self.max_distance) + self.max_distance
        bias = self.distance_bias[rows].to(like.dtype)
        # Half of the least number of the dtype, so that adding a score does not overflow.
        masked_out = torch.finfo(like.dtype).min / 2
        if attention_mask.causal:
            bias = bias.masked_fill(distance < 0, masked_out)
        if (visible := _visible(attention_mask)) is not None:
            bias = bias.masked_fill(~visible, masked_out)
        if self.time_bias is None or buckets is None:
            return bias
        # Gather in float32: in 16 bits the gradients of many thousand pairs would be summed too coarsely.
        return bias + self.time_bias.index_select(0, buckets.flatten()).view(buckets.shape).to(like.dtype)


def _visible(attention_mask: AttentionMask) -> Tensor | None:
    """Keys that may be attended to, bool ``[batch, query or 1, key]``, beside causality; None = all."""
    mask = attention_mask.key_mask if attention_mask.visible is None else attention_mask.visible
    return None if mask is None else mask[:, 0]


def _n_keys(attention_mask: AttentionMask, seq: int, device: torch.device) -> Tensor:
    """Number of keys per query: int64 ``[batch or 1, query or 1, 1]``."""
    if attention_mask.causal:
        return torch.arange(1, seq + 1, device=device)[None, :, None]
    if (visible := _visible(attention_mask)) is not None:
        return visible.sum(-1, keepdim=True)
    return torch.full((1, 1, 1), seq if attention_mask.cache is None else attention_mask.cache.n_keys, device=device)
