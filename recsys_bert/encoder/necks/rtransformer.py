"""R-Transformer (https://arxiv.org/abs/1907.05572): a recurrent network over local windows, then attention."""

import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward
from recsys_bert.encoder.necks.bidirectional import reverse_tokens
from recsys_bert.errors import InputError


class LocalRnn(nn.Module):
    """Local GRU: runs over the ``window`` positions that end at each position; outputs its last state.

    Args:
        dim: Width of input and output.
        window: Positions in a window, the position itself included.
    """

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.rnn = nn.GRU(dim, dim, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, seq, dim]`` → the same shape; windows reach into zeros before the first position."""
        batch, seq, dim = x.shape
        windows = F.pad(x, (0, 0, self.window - 1, 0)).unfold(1, self.window, 1).transpose(2, 3)
        outputs, _ = self.rnn(windows.reshape(batch * seq, self.window, dim))
        return outputs[:, -1].view(batch, seq, dim)


class RTransformer(nn.Module):
    """Pre-norm: x + local(norm(x)), then x + attention(norm(x)), then x + ffn(norm(x)) with ffn of ``4 * dim``.

    The published code is causal. Without ``causal`` a second network runs backward over windows that begin at each
    position.

    Args:
        dim: Width of the input and the output.
        dropout: Probability in [0, 1) on the output of each branch.
        causal: No output depends on a later position.
        window: Positions in a local window, the position itself included.
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
        window: int = 5,
        n_heads: int = 1,
        ffn_dim: int | None = None,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if window < 1:
            raise InputError(f"neck rtransformer: window is {window}; it must be at least 1.")
        self.causal = causal
        self.out_dim = dim
        self.local_norm, self.attention_norm, self.ffn_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.left = LocalRnn(dim, window)
        self.right = None if causal else LocalRnn(dim, window)
        self.attention = SelfAttention(dim, n_heads)
        self.ffn = FeedForward(dim, ffn_dim, activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Refine every position.

        Args:
            x: ``[batch, seq, dim]``.
            mask: bool ``[batch, seq]``.

        Returns:
            ``[batch, seq, dim]``.
        """
        x = x + self.dropout(self._local(self.local_norm(x), mask))
        x = x + self.dropout(self.attention(self.attention_norm(x), AttentionMask.of(mask, self.causal)))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))

    def _local(self, x: Tensor, mask: Tensor) -> Tensor:
        # On reversed rows tokens come first again, so windows never reach into padding.
        left = self.left(x)
        return left if self.right is None else left + reverse_tokens(self.right(reverse_tokens(x, mask)), mask)
