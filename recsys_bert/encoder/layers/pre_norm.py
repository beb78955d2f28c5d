"""Pre-norm transformer layer (https://arxiv.org/abs/2002.04745), which trains without a long warm-up."""

from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward


class PreNormLayer(nn.Module):
    """Differs from ``BertLayer`` only in where it normalises: ``x + branch(norm(x))``.

    The output is not normalised, so the encoder applies a norm after the fusion.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
        attention_dropout: Probability in [0, 1) on attention weights; above 0 slow on CPU.
        norm_eps: Added to the variance in the norms.
    """

    ends_with_norm = False
    last_position_only = True
    relative_positions = True
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
        self.attention_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = SelfAttention(dim, n_heads, attention_dropout)
        self.ffn_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.ffn = FeedForward(dim, ffn_dim, activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> tuple[Tensor, None]:
        """Apply the layer.

        Args:
            x: ``[batch, seq, dim]``.
            attention_mask: See ``AttentionMask``.
            state: Not used.

        Returns:
            ``[batch, seq, dim]``, or ``[batch, 1, dim]`` with ``query_position``, and None.
        """
        x = attention_mask.select_query(x) + self.dropout(self.attention(self.attention_norm(x), attention_mask))
        return x + self.dropout(self.ffn(self.ffn_norm(x))), state

    def attention_weights(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]`` of ``forward`` with the same arguments."""
        return self.attention.weights(self.attention_norm(x), attention_mask)
