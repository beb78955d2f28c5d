"""Gated pre-norm layer of LiGR (https://arxiv.org/abs/2502.03417), as in eSASRec (https://arxiv.org/abs/2508.06450)."""

import torch
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import ACTIVATIONS, FeedForward, SwiGLU
from recsys_bert.errors import unknown_name


class GatedLayer(nn.Module):
    """Differs from ``PreNormLayer`` in a learned gate on each branch: ``x + branch(norm(x)) * sigmoid(gate(x))``.

    The gate reads the residual stream ``x`` before any norm; it is ``dim`` wide and has a bias (0 at first, so gates
    start half open). All other linear maps have a bias too. Dropout applies to the branch, not to its gate. The output
    is not normalised, so the encoder applies a norm after the fusion.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``swiglu`` as in eSASRec (three maps in the feed-forward branch), ``gelu`` or ``relu`` (two).
        ffn_dropout: Probability in [0, 1) inside the feed-forward branch, before its last map.
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
        activation: str = "swiglu",
        ffn_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if activation not in (known := ("swiglu", *ACTIVATIONS)):
            raise unknown_name("activation", activation, known)
        self.attention_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = SelfAttention(dim, n_heads, attention_dropout)
        self.attention_gate = nn.Linear(dim, dim)
        self.ffn_norm = nn.LayerNorm(dim, eps=norm_eps)
        swiglu = activation == "swiglu"
        self.ffn = SwiGLU(dim, ffn_dim, ffn_dropout) if swiglu else FeedForward(dim, ffn_dim, activation, ffn_dropout)
        self.ffn_gate = nn.Linear(dim, dim)
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
        mixed = self.dropout(self.attention(self.attention_norm(x), attention_mask))
        x = attention_mask.select_query(x)
        x = x + mixed * torch.sigmoid(self.attention_gate(x))
        return x + self.dropout(self.ffn(self.ffn_norm(x))) * torch.sigmoid(self.ffn_gate(x)), state

    def attention_weights(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]`` of ``forward`` with the same arguments."""
        return self.attention.weights(self.attention_norm(x), attention_mask)
