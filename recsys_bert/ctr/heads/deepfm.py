"""DeepFM (https://arxiv.org/abs/1703.04247)."""

from collections.abc import Sequence

from torch import Tensor, nn

from recsys_bert.ctr.heads.fm import FactorisationMachine
from recsys_bert.ctr.mlp import Mlp


class DeepFM(nn.Module):
    """A factorisation machine and a feed-forward network on the same vectors; their logits are added.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field: 1 + the number of factors; the network reads all of it.
        hidden: Widths of the network.
        dropout: Probability in [0, 1).
        batch_norm: Normalise the network's layers.
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        hidden: Sequence[int] = (400, 400, 400),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.machine = FactorisationMachine(n_fields, dim)
        self.deep = Mlp(n_fields * dim, hidden, dropout=dropout, batch_norm=batch_norm)
        self.out = nn.Linear(self.deep.out_dim, 1, bias=False)  # the machine has a bias

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.machine(fields, history, mask) + self.out(self.deep(fields.flatten(1))).squeeze(1)
