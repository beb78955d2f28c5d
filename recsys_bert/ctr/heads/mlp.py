"""Embedding and MLP, the base model of DIN's paper (https://arxiv.org/abs/1706.06978, section 4.2)."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys_bert.ctr.mlp import Mlp


class EmbeddingMlp(nn.Module):
    """A feed-forward network on all fields side by side; the history enters as its pooled field.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        hidden: Widths of the network; none at all passes the fields on, as a bottom for several tasks.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the network's layers.
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        hidden: Sequence[int] = (200, 80),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.deep = Mlp(n_fields * dim, hidden, dropout=dropout, batch_norm=batch_norm)
        self.out_dim = self.deep.out_dim
        self.out = nn.Linear(self.out_dim, 1)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the network's last layer ``[batch, out_dim]``."""
        encoded: Tensor = self.deep(fields.flatten(1))
        return encoded

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
