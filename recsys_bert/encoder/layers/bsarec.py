"""BSARec layer (https://arxiv.org/abs/2312.10325): a frequency filter beside attention."""

import torch
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward
from recsys_bert.encoder.layers.filtering import check_filter
from recsys_bert.errors import InputError


class BsarecLayer(nn.Module):
    """Differs from ``BertLayer`` in the first branch: ``w · norm(x + filter(x)) + (1 − w) · norm(x + attention(x))``.

    ``filter(x) = low + β² (x − low)``, where ``low`` has the lowest frequencies of each channel over time; β is
    learned. Frequencies are those of a history padded with zeros to ``max_len``, as by an FFT of that length; ``low``
    is computed as the product with a circulant matrix, quicker up to some hundred positions.

    Differs from the published code in the padding, which there has position embeddings, and in the attention, which is
    causal there. Every position's filter reads all others, so the layer cannot be causal.

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        causal: Refused if True; set by the encoder.
        max_len: Longest input, in positions; set by the encoder.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
        attention_dropout: Probability in [0, 1) on attention weights; above 0 slow on CPU.
        norm_eps: Added to the variance in the norms.
        low_frequencies: Number of frequencies that pass, the mean being the first; at least 1.
        filter_weight: Weight w of the filter in [0, 1]; the attention has the rest.
    """

    ends_with_norm = True
    last_position_only = True
    relative_positions = True

    kernel: Tensor

    def __init__(
        self,
        dim: int,
        n_heads: int,
        dropout: float,
        *,
        causal: bool,
        max_len: int,
        ffn_dim: int | None = None,
        activation: str = "gelu",
        attention_dropout: float = 0.0,
        norm_eps: float = 1e-5,
        low_frequencies: int = 3,
        filter_weight: float = 0.7,
    ) -> None:
        super().__init__()
        check_filter("bsarec", causal, filter_weight)
        if low_frequencies < 1:
            raise InputError(f"layer_options: low_frequencies is {low_frequencies}; it must be at least 1.")
        self.filter_weight = filter_weight
        passes = (torch.arange(max_len // 2 + 1) < low_frequencies).float()
        self.register_buffer("kernel", torch.fft.irfft(passes, n=max_len), persistent=False)
        self.beta = nn.Parameter(torch.randn(dim))
        self.filter_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = SelfAttention(dim, n_heads, attention_dropout)
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
            ``[batch, seq, dim]``, or ``[batch, 1, dim]`` with ``query_position``, and None.
        """
        query, low = attention_mask.select_query(x), self.low_pass(x, attention_mask)
        filtered = self.filter_norm(query + self.dropout(low + self.beta.square() * (query - low)))
        attended = self.attention_norm(query + self.dropout(self.attention(x, attention_mask)))
        x = self.filter_weight * filtered + (1 - self.filter_weight) * attended
        return self.ffn_norm(x + self.dropout(self.ffn(x))), state

    def attention_weights(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> Tensor:
        """Attention weights ``[batch, n_heads, seq, seq]`` of the attention branch; the filter is not in them."""
        return self.attention.weights(x, attention_mask)

    def low_pass(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        """Lowest frequencies of ``[batch, seq, dim]``, at every position or at ``query_position``."""
        if attention_mask.key_mask is not None:
            x = x * attention_mask.key_mask[:, 0, 0, :, None]
        position = torch.arange(x.shape[1], device=x.device)
        matrix = self.kernel[(position[:, None] - position).abs()]  # of a real, even filter: symmetric
        if attention_mask.query_position is not None:
            matrix = matrix[attention_mask.query_position][:, None]
        return matrix @ x
