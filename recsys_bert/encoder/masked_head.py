"""BERT's masked-token head (https://arxiv.org/abs/1810.04805): dense layer, activation, norm, and a bias per token."""

import torch
from torch import Tensor, nn

from recsys_bert.encoder.feed_forward import activation_by_name


class MaskedTokenHead(nn.Module):
    """Query vector of each hidden state; its inner product with a token's vector, plus ``bias``, is the token's logit.

    Args:
        dim: Width of a hidden state.
        width: Width of the token table.
        n_rows: Rows of the token table.
        activation: A name in ``ACTIVATIONS``.
        norm_eps: Added to the variance in the norm.
    """

    def __init__(self, dim: int, width: int, n_rows: int, activation: str = "gelu", norm_eps: float = 1e-12) -> None:
        super().__init__()
        self.activation_name, self.norm_eps = activation, norm_eps
        self.dense = nn.Linear(dim, width)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.activation = activation_by_name(activation)
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.bias = nn.Parameter(torch.zeros(n_rows))

    def forward(self, hidden: Tensor) -> Tensor:
        """``[n, dim]`` → ``[n, width]``."""
        query: Tensor = self.norm(self.activation(self.dense(hidden)))
        return query
