"""Transformer neck (https://arxiv.org/abs/1706.03762)."""

from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.encoder.layers.bert import BertLayer


class Transformer(nn.Module):
    """One post-norm transformer layer over the fused states.

    Args:
        dim: Width of the input and the output.
        dropout: Probability in [0, 1) on the output of each branch.
        causal: No output depends on a later position.
        n_heads: Attention heads; divides ``dim``.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
    """

    def __init__(
        self,
        dim: int,
        dropout: float,
        *,
        causal: bool,
        n_heads: int = 1,
        ffn_dim: int | None = None,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.layer = BertLayer(dim, n_heads, dropout, ffn_dim=ffn_dim, activation=activation)
        self.causal = causal
        self.out_dim = dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Refine every position.

        Args:
            x: ``[batch, seq, dim]``.
            mask: bool ``[batch, seq]``.

        Returns:
            ``[batch, seq, dim]``.
        """
        refined, _ = self.layer(x, AttentionMask.of(mask, self.causal))
        return refined
