"""Pooling, then a dense layer, as the Dense module of sentence-transformers (https://arxiv.org/abs/1908.10084)."""

from typing import Literal

from torch import Tensor, nn

from nlp_tasks.heads.first import First
from nlp_tasks.heads.maximum import Maximum
from nlp_tasks.heads.mean import Mean

_POOLINGS = {"first": First, "max": Maximum, "mean": Mean}
_ACTIVATIONS = {"gelu": nn.GELU, "identity": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}


class Dense(nn.Module):
    """Linear layer and activation on pooled states.

    Args:
        dim: Width of one position.
        pooling: Pooling of the states.
        width: Width of the vector; None = ``dim``.
        bias: Add a bias.
        activation: Activation after the linear layer.
    """

    def __init__(
        self,
        dim: int,
        *,
        pooling: Literal["first", "max", "mean"] = "mean",
        width: int | None = None,
        bias: bool = True,
        activation: Literal["gelu", "identity", "relu", "tanh"] = "tanh",
    ) -> None:
        super().__init__()
        self.out_dim = width or dim
        self.pooling = _POOLINGS[pooling](dim)
        self.linear = nn.Linear(dim, self.out_dim, bias=bias)
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Reduce ``[batch, seq, dim]`` to ``[batch, out_dim]`` where ``mask`` (bool ``[batch, seq]``) holds."""
        vectors: Tensor = self.activation(self.linear(self.pooling(tokens, mask)))
        return vectors
