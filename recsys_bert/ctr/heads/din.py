"""Deep interest network (https://arxiv.org/abs/1706.06978)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.ctr.layout import check_fields
from recsys_bert.ctr.mlp import Mlp


class DIN(nn.Module):
    """Attention pooling of the history: a small network weighs each item against the target item.

    The weights are not normalised, so that a long interest counts more than a short one (section 4.3). The paper's
    activation unit reads the two vectors and their outer product; as in its authors' code, difference and
    element-wise product stand in for the latter.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        target: Number of the field that is the target item.
        attention_hidden: Widths of the network that weighs an item.
        softmax: Normalise the weights over the history.
        hidden: Widths of the network over fields and interest.
        dropout: Probability in [0, 1), in that network.
        batch_norm: Normalise its layers.
        activation: Its activation: ``dice``, ``relu`` or ``leaky_relu``.
    """

    needs_history = True

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        target: int = 0,
        attention_hidden: Sequence[int] = (64,),
        softmax: bool = False,
        hidden: Sequence[int] = (200, 80),
        dropout: float = 0.0,
        batch_norm: bool = False,
        activation: str = "dice",
    ) -> None:
        super().__init__()
        self.target = check_fields("target", [target], n_fields)[0]
        # leaky ReLU: Dice would let padding into its batch statistics
        self.attention = Mlp(4 * dim, attention_hidden, activation="leaky_relu")
        # a bias would be lost under softmax, which only sees differences
        self.weight = nn.Linear(self.attention.out_dim, 1, bias=not softmax)
        self.softmax = softmax
        self.deep = Mlp((n_fields + 1) * dim, hidden, dropout=dropout, batch_norm=batch_norm, activation=activation)
        self.out_dim = self.deep.out_dim
        self.out = nn.Linear(self.out_dim, 1)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the network's last layer over fields and interest ``[batch, out_dim]``."""
        target = fields[:, self.target].unsqueeze(1).expand_as(history)
        pairs = torch.cat([history, target, target - history, target * history], 2)
        weights = self.weight(self.attention(pairs)).squeeze(2)  # [batch, seq]
        if self.softmax:
            weights = weights.masked_fill(~mask, torch.finfo(weights.dtype).min).softmax(1)
        weights = weights.masked_fill(~mask, 0.0)  # after the softmax too: an empty history has no weight at all
        interest = (weights.unsqueeze(2) * history).sum(1)
        encoded: Tensor = self.deep(torch.cat([fields.flatten(1), interest], 1))
        return encoded

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
