"""Mean over positions, Sentence-BERT's choice (https://arxiv.org/abs/1908.10084)."""

from torch import Tensor, nn


class Mean(nn.Module):
    """Mean of the tokens' states.

    Args:
        dim: Width of one position.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Average ``[batch, seq, dim]`` over the positions where ``mask`` (bool ``[batch, seq]``) holds."""
        total = tokens.masked_fill(~mask[:, :, None], 0.0).sum(dim=1)
        return total / mask.sum(dim=1, keepdim=True).to(total.dtype)
