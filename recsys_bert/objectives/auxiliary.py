"""A second loss on the encoder's last layer as it is, beside the one on the fused and necked output.

It hands the layers a gradient that has not been through fusion and neck, which are new where the layers are pretrained.
"""

import copy

from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder


class LastLayer(nn.Module):
    """The last layer's output, ready for a head of its own: normalised where the layers do not end in a norm.

    Args:
        encoder: Whose last layer; its weights are not held here.
        out_dim: Width that the head wants, reached by a linear map where it is another; None = ``dim``.
    """

    def __init__(self, encoder: Encoder, out_dim: int | None = None) -> None:
        super().__init__()
        dim = encoder.config.dim
        self.norm = copy.deepcopy(encoder.norm)
        self.map: nn.Module = nn.Identity() if out_dim in (None, dim) else nn.Linear(dim, out_dim)

    def forward(self, state: Tensor) -> Tensor:
        """``EncoderOutput.states[-1]``, or some positions of it, ``[…, dim]`` → ``[…, out_dim]``."""
        ready: Tensor = self.map(self.norm(state))
        return ready


def weighed(main: Tensor, auxiliary: Tensor, weight: float) -> Tensor:
    """``weight · auxiliary + (1 − weight) · main``, both of them losses on logits, never on softmaxed values."""
    return weight * auxiliary + (1 - weight) * main
