"""WEARec layer: wavelets and a frequency filter that depends on the history, in place of attention.

"Wavelet Enhanced Adaptive Frequency Filter for Sequential Recommendation", https://arxiv.org/abs/2511.07028.
"""

import torch
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, check_heads
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward
from recsys_bert.encoder.layers.filtering import check_filter


class WearecLayer(nn.Module):
    """Post-norm: ``norm(x + w · filter(x) + (1 − w) · wavelet(x))``, then the feed-forward of ``BertLayer``.

    ``wavelet``: Haar's, of pairs counted from the last position; the difference of a pair is weighted per pair and
    channel, its mean is kept. ``filter``: each frequency of each head is multiplied and shifted; both factors are
    learned and modulated by an MLP of the history's mean. Frequencies are those of a history padded with zeros at its
    start to ``max_len``, as by an FFT of that length; a real filter is a circular convolution, computed here as the
    product with its circulant matrix, ``[batch, n_heads, seq, seq]``.

    Differs from the published code in the padding, which there has position embeddings and counts in the mean.
    Positions read later ones, so the layer cannot be causal.

    Args:
        dim: Width of one position.
        n_heads: Heads, each with a filter of its own; divides ``dim``.
        dropout: Probability in [0, 1) on the output of each branch.
        causal: Refused if True; set by the encoder.
        max_len: Longest input, in positions; set by the encoder.
        ffn_dim: Hidden width of the feed-forward branch; None = ``4 * dim``.
        activation: ``gelu``, ``gelu_tanh``, ``relu`` or ``silu``.
        norm_eps: Added to the variance in the norms.
        filter_weight: Weight w of the filter in [0, 1]; the wavelets have the rest.
    """

    ends_with_norm = True

    waves: Tensor

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
        norm_eps: float = 1e-5,
        filter_weight: float = 0.3,
    ) -> None:
        super().__init__()
        check_heads(dim, n_heads)
        check_filter("wearec", causal, filter_weight)
        self.n_heads, self.filter_weight, self.max_len = n_heads, filter_weight, max_len
        n_frequencies = max_len // 2 + 1
        # row f: what frequency f with coefficient 1 is over time
        self.register_buffer("waves", torch.fft.irfft(torch.eye(n_frequencies), n=max_len), persistent=False)
        self.scale = nn.Parameter(torch.ones(n_heads, n_frequencies))
        self.shift = nn.Parameter(torch.full((n_heads, n_frequencies), -0.1))
        self.modulation = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 2 * n_heads * n_frequencies))
        self.detail = nn.Parameter(torch.randn(-(-max_len // 2), dim) * 0.02)
        self.mixed_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.ffn = FeedForward(dim, ffn_dim, activation)
        self.ffn_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None = None) -> tuple[Tensor, None]:
        """Apply the layer.

        Args:
            x: ``[batch, seq, dim]``.
            attention_mask: Says what is padding.
            state: Not used.

        Returns:
            ``[batch, seq, dim]`` and None.
        """
        tokens = x.new_ones(x.shape[:2]) if attention_mask.key_mask is None else attention_mask.key_mask[:, 0, 0].to(x)
        from_last = tokens.sum(1, keepdim=True).long() - 1 - torch.arange(x.shape[1], device=x.device)
        masked = x * tokens[:, :, None]
        filtered, local = self.filter(masked, from_last), self.wavelet(masked, from_last)
        mixed = self.filter_weight * filtered + (1 - self.filter_weight) * local
        x = self.mixed_norm(x + self.dropout(mixed))
        return self.ffn_norm(x + self.dropout(self.ffn(x))), state

    def filter(self, x: Tensor, from_last: Tensor) -> Tensor:
        """Multiply and shift the frequencies of ``[batch, seq, dim]``, 0 on padding.

        Args:
            x: Input.
            from_last: ``[batch, seq]`` positions counted back from the last token; below 0 on padding.
        """
        batch, seq, _ = x.shape
        mean = x.sum(1) / (from_last[:, :1] + 1)
        scale, shift = self.modulation(mean).view(batch, self.n_heads, -1, 2).unbind(3)
        kernel = (self.scale * (1 + scale)) @ self.waves  # [batch, n_heads, max_len]
        # A frequency's coefficient of an orthonormal transform is √max_len times smaller than in ``waves``.
        curve = (self.shift + shift) @ self.waves * self.max_len**0.5
        position = torch.arange(seq, device=x.device)
        matrix = kernel[:, :, (position[:, None] - position).abs().flatten()].view(batch, self.n_heads, seq, seq)
        heads = x.view(batch, seq, self.n_heads, -1).transpose(1, 2)
        time = (self.max_len - 1 - from_last).clamp(max=self.max_len - 1)
        added = curve.gather(2, time[:, None].expand(batch, self.n_heads, seq))
        return (matrix @ heads + added[..., None]).transpose(1, 2).flatten(2)

    def wavelet(self, x: Tensor, from_last: Tensor) -> Tensor:
        """Mean of each pair plus half of its weighted difference; args as of ``filter``."""
        partner = from_last[:, :1] - (from_last ^ 1)
        exists = (partner >= 0) & (partner < x.shape[1])  # an oldest one may have none: its partner is padding
        other = x.gather(1, partner.clamp(0, x.shape[1] - 1)[:, :, None].expand_as(x)) * exists[:, :, None]
        weight = self.detail[(from_last // 2).clamp(min=0)]
        return (x + other) / 2 + weight * (x - other) / 2
