"""RealFormer layer (https://arxiv.org/abs/2012.11747): residual attention scores."""

from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention, masked_softmax
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward


class RealFormerLayer(nn.Module):
    """Differs from ``BertLayer`` only in the scores: QKᵀ/√d of this layer plus the sum of all layers before it.

    Raw scores are summed, before mask and softmax. They have to be materialised, so this layer holds
    ``[batch, n_heads, seq, seq]`` in memory.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
        attention_dropout: Probability in [0, 1) on attention weights.
        norm_eps: Added to the variance in the norms.
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
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, n_heads)
        self.attention_dropout = Dropout(attention_dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.ffn = FeedForward(dim, ffn_dim, activation)
        self.ffn_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply the layer.

        Args:
            x: ``[batch, seq, dim]``.
            attention_mask: See ``AttentionMask``.
            state: Residual scores: sum over all layers before, ``[batch, n_heads, seq, seq]``; None in the first.

        Returns:
            ``[batch, seq, dim]`` and the residual scores, this layer's included.
        """
        scores, value = self._scores(x, attention_mask, state)
        # Softmax in float32: under autocast a sum over many layers would lose its last digits in bf16.
        weights = masked_softmax(scores, attention_mask).to(value.dtype)
        mixed = self.attention.merge_heads(self.attention_dropout(weights) @ value)
        x = self.attention_norm(x + self.dropout(mixed))
        return self.ffn_norm(x + self.dropout(self.ffn(x))), scores

    def attention_weights(self, x: Tensor, attention_mask: AttentionMask, state: Tensor | None = None) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]`` of ``forward`` with the same arguments."""
        return masked_softmax(self._scores(x, attention_mask, state)[0], attention_mask)

    def _scores(self, x: Tensor, attention_mask: AttentionMask, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Summed scores, and the values that they weigh."""
        query, key, value = self.attention.split_heads(self.attention.qkv(x))
        key, value = attention_mask.extend(key, value)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return scores if state is None else scores + state, value
