"""TextCNN: convolutions of several widths and the maximum over positions (https://aclanthology.org/D14-1181)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TextCNN(nn.Module):
    """Maximum of every filter over the windows that begin at a token.

    Padding reads as zeros, so a text shorter than a window still has one.

    Args:
        dim: Width of one position.
        filters: Filters of each width.
        max_width: Widths are 2 … ``max_width`` positions.
    """

    def __init__(self, dim: int, *, filters: int = 128, max_width: int = 4) -> None:
        super().__init__()
        self.out_dim = filters * (max_width - 1)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, filters, width) for width in range(2, max_width + 1))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Reduce ``[batch, seq, dim]`` to ``[batch, out_dim]`` where ``mask`` (bool ``[batch, seq]``) holds."""
        x = tokens.masked_fill(~mask[:, :, None], 0.0).transpose(1, 2)
        pooled = []
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            answers = F.relu(convolution(F.pad(x, (0, convolution.kernel_size[0] - 1))))
            pooled.append(answers.masked_fill(~mask[:, None, :], 0.0).amax(dim=2))  # none is below 0 after ReLU
        return torch.cat(pooled, dim=1)
