"""BERT layer with T5's relative position bias (https://arxiv.org/abs/1910.10683), as in MPNet."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention, check_probability, masked_softmax
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward
from recsys_bert.errors import InputError


class RelativeLayer(nn.Module):
    """Differs from ``BertLayer`` only in the attention scores: a learned bias per head and bucket of distance is added.

    The bias has to be materialised, so this layer holds ``[batch, n_heads, seq, seq]`` in memory.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
        attention_dropout: Probability in [0, 1) on attention weights.
        norm_eps: Added to the variance in the norms.
        buckets: Buckets of distances, half of them for keys before the query; even, at least 4.
    """

    ends_with_norm = True
    cacheable = True

    def __init__(
        self,
        dim: int,
        n_heads: int,
        dropout: float,
        *,
        ffn_dim: int | None = None,
        activation: str = "gelu",
        attention_dropout: float = 0.0,
        norm_eps: float = 1e-5,
        buckets: int = 32,
    ) -> None:
        super().__init__()
        if buckets < 4 or buckets % 2:
            raise InputError(f"layer_options: buckets is {buckets}; it must be even and at least 4.")
        check_probability("attention_dropout", attention_dropout)
        self.attention = SelfAttention(dim, n_heads)
        self.attention_dropout = attention_dropout
        self.bias = nn.Embedding(buckets, n_heads)
        self.attention_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.ffn = FeedForward(dim, ffn_dim, activation)
        self.ffn_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> tuple[Tensor, None]:
        """Apply the layer.

        Args:
            x: ``[batch, seq, dim]``.
            attention_mask: See ``AttentionMask``.
            state: Not used.

        Returns:
            ``[batch, seq, dim]`` and None.
        """
        query, key, value = self.attention.split_heads(self.attention.qkv(x))
        key, value = attention_mask.extend(key, value)
        mask = attention_mask.full(x.shape[1], x.device)
        scores = self._bias(x, attention_mask).to(query.dtype).masked_fill(~mask, -torch.inf)
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=scores, dropout_p=dropout)
        x = self.attention_norm(x + self.dropout(self.attention.merge_heads(mixed)))
        return self.ffn_norm(x + self.dropout(self.ffn(x))), state

    def attention_weights(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]`` of ``forward`` with the same arguments."""
        query, key, _ = self.attention.split_heads(self.attention.qkv(x))
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return masked_softmax(scores + self._bias(x, attention_mask), attention_mask)

    def _bias(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Bias of the scores, ``[batch or 1, n_heads, query, key]``."""
        buckets = relative_buckets(attention_mask.distance(x.shape[1], x.device), self.bias.num_embeddings)
        return self.bias(buckets).permute(0, 3, 1, 2)


def relative_buckets(distance: Tensor, buckets: int, longest: int = 128) -> Tensor:
    """Bucket of each key's distance from each query: exact when near, logarithmic up to ``longest``, then one.

    Args:
        distance: Position of the query minus that of the key, any shape.
        buckets: Number of buckets; the second half is of keys behind the query.
        longest: Distance from which on all share a bucket.

    Returns:
        int64 of the same shape.
    """
    half = buckets // 2
    exact = half // 2
    near = distance.abs()
    far = exact + (near.clamp(min=1).float() / exact).log() / math.log(longest / exact) * (half - exact)
    bucket = torch.where(near < exact, near, far.long().clamp(max=half - 1))
    return bucket + half * (distance < 0)
