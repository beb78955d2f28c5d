"""FinalMLP (https://arxiv.org/abs/2304.00902)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys_bert.ctr.layout import check_fields
from recsys_bert.ctr.mlp import Mlp
from recsys_bert.errors import InputError


class Gate(nn.Module):
    """Soft feature selection for one stream: ``2 · sigmoid(MLP(context))`` scales the flattened fields.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        context: Fields that decide; none learns one context for all impressions.
        hidden: Widths of the gate's network.

    Raises:
        InputError: A context field does not exist.
    """

    def __init__(self, n_fields: int, dim: int, context: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.context = check_fields("a gate's context", context, n_fields)
        if not self.context:
            self.learned = nn.Parameter(torch.randn(1, dim) * 0.1)  # zeros would leave the first layer without gradient
        self.net = Mlp(dim * max(len(self.context), 1), hidden)
        self.out = nn.Linear(self.net.out_dim, n_fields * dim)

    def forward(self, fields: Tensor) -> Tensor:
        """Return the gated fields, flat: ``[batch, n_fields · dim]``."""
        context = fields[:, self.context].flatten(1) if self.context else self.learned
        return fields.flatten(1) * 2 * torch.sigmoid(self.out(self.net(context)))


class BilinearFusion(nn.Module):
    """Multi-head bilinear fusion of two vectors into one logit (section 3.3).

    Each head takes its share of both: ``wᵀ[a; b] + Σ_h a_hᵀ W_h b_h``.

    Args:
        dim_a: Width of the first vector.
        dim_b: Width of the second.
        n_heads: Heads; divides both widths.

    Raises:
        InputError: ``n_heads`` does not divide both widths.
    """

    def __init__(self, dim_a: int, dim_b: int, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1 or dim_a % n_heads or dim_b % n_heads:
            raise InputError(f"n_heads is {n_heads}; it must divide the streams' last widths, {dim_a} and {dim_b}.")
        self.dim_a = dim_a
        self.linear = nn.Linear(dim_a + dim_b, 1)
        self.pairs = nn.Parameter(torch.empty(n_heads, dim_a // n_heads, dim_b // n_heads))
        nn.init.xavier_normal_(self.pairs)

    def forward(self, both: Tensor) -> Tensor:
        """Fuse the two vectors, side by side in ``[batch, dim_a + dim_b]``, into ``[batch, 1]``."""
        n_heads = len(self.pairs)
        a, b = both.tensor_split([self.dim_a], dim=1)
        mixed = torch.einsum("bhi,hij->bhj", a.unflatten(1, (n_heads, -1)), self.pairs)
        products = (mixed * b.unflatten(1, (n_heads, -1))).sum((1, 2))
        fused: Tensor = self.linear(both) + products.unsqueeze(1)
        return fused


class FinalMLP(nn.Module):
    """Two gated feed-forward streams over the fields, fused bilinearly.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        hidden_1: Widths of the first stream.
        hidden_2: Widths of the second stream.
        dropout: Probability in [0, 1), in both streams.
        batch_norm: Normalise both streams' layers.
        gates: Select features before the streams.
        context_1: Fields that decide the first gate, by number; none learns one context for all impressions.
        context_2: Those of the second gate.
        gate_hidden: Widths of the gates' networks.
        n_heads: Heads of the fusion.
    """

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        hidden_1: Sequence[int] = (400,),
        hidden_2: Sequence[int] = (400,),
        dropout: float = 0.0,
        batch_norm: bool = False,
        gates: bool = True,
        context_1: Sequence[int] = (),
        context_2: Sequence[int] = (),
        gate_hidden: Sequence[int] = (400,),
        n_heads: int = 1,
    ) -> None:
        super().__init__()
        flat = n_fields * dim
        self.gates = nn.ModuleList(
            Gate(n_fields, dim, context, gate_hidden) if gates else nn.Flatten() for context in (context_1, context_2)
        )
        self.streams = nn.ModuleList(
            Mlp(flat, hidden, dropout=dropout, batch_norm=batch_norm) for hidden in (hidden_1, hidden_2)
        )
        width_1, width_2 = (hidden[-1] if hidden else flat for hidden in (hidden_1, hidden_2))
        self.out_dim = width_1 + width_2
        self.out = BilinearFusion(width_1, width_2, n_heads)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return both streams side by side ``[batch, out_dim]``."""
        streams = [stream(gate(fields)) for gate, stream in zip(self.gates, self.streams, strict=True)]
        return torch.cat(streams, 1)

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
