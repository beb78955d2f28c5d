"""Auxiliary loss on the encoder's raw last layer, beside the one on the fused and necked output.

It gives the layers a gradient that has not been through fusion and neck, which are new if the layers are pretrained.
"""

import copy

from torch import Tensor, nn

from recsys_bert.encoder.model import Encoder


class LastLayer(nn.Module):
    """Last layer's output for a head of its own: normalised unless the layers end in a norm.

    Args:
        encoder: The encoder; its weights are not held here.
        out_dim: Input width of the head, by a linear projection if it differs; None = ``dim``.
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
