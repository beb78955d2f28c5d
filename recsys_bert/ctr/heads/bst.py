"""Behaviour sequence transformer (https://arxiv.org/abs/1905.06874)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_bert.ctr.layout import check_fields
from recsys_bert.ctr.mlp import Mlp
from recsys_bert.errors import InputError


class BSTLayer(nn.Module):
    """Post-norm transformer layer with leaky ReLU (equations 3 to 5).

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1).
        ffn_dim: Inner width of the feed-forward part.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float, ffn_dim: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.keys_values = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.mix = nn.Linear(dim, dim)
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn_dim), nn.LeakyReLU(), nn.Linear(ffn_dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """Transform ``[batch, seq, dim]``; ``attention_mask`` is bool ``[batch, 1, 1, seq]``, False on padding."""
        parts = (self.query(x), *self.keys_values(x).chunk(2, -1))
        query, key, value = (part.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        x = self.norm_1(x + self.dropout(self.mix(mixed.transpose(1, 2).flatten(2))))
        return self.norm_2(x + self.dropout(self.ffn(x)))


class BST(nn.Module):
    """A transformer over the history with the target item at its end.

    Positions are counted back from the target (the paper buckets elapsed time instead, which heads do not
    get); those further back than ``max_len`` share one. The paper concatenates the outputs of a fixed number of
    positions; here the target's output and the mean of the history's go on, so that length does not matter.

    Args:
        n_fields: Fields of an impression.
        dim: Width of one field.
        target: Number of the field that is the target item.
        n_layers: Transformer layers.
        n_heads: Attention heads; divides ``dim``.
        max_len: Positions with their own embedding.
        attention_dropout: Probability in [0, 1), in the transformer.
        hidden: Widths of the network over fields and sequence.
        dropout: Probability in [0, 1), in that network.
        batch_norm: Normalise its layers.

    Raises:
        InputError: ``n_heads`` does not divide ``dim``, or a count is below 1.
    """

    needs_history = True

    def __init__(
        self,
        n_fields: int,
        dim: int,
        *,
        target: int = 0,
        n_layers: int = 1,
        n_heads: int = 2,
        max_len: int = 200,
        attention_dropout: float = 0.0,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if min(n_layers, n_heads, max_len) < 1:
            raise InputError(f"n_layers is {n_layers}, n_heads {n_heads}, max_len {max_len}; each must be at least 1.")
        if dim % n_heads:
            raise InputError(f"dim is {dim}, which {n_heads} heads do not divide; set n_heads to a divisor.")
        self.target = check_fields("target", [target], n_fields)[0]
        self.position = nn.Embedding(max_len, dim)
        nn.init.normal_(self.position.weight, std=0.02)
        self.layers = nn.ModuleList(BSTLayer(dim, n_heads, attention_dropout, 4 * dim) for _ in range(n_layers))
        self.deep = Mlp((n_fields + 2) * dim, hidden, dropout=dropout, batch_norm=batch_norm, activation="leaky_relu")
        self.out_dim = self.deep.out_dim
        self.out = nn.Linear(self.out_dim, 1)

    def encode(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the network's last layer over fields and sequence ``[batch, out_dim]``."""
        # the target leads, so that padding stays at the end; its distance to itself is 0
        x = torch.cat([fields[:, self.target].unsqueeze(1), history], 1)
        distance = mask.sum(1, keepdim=True) - torch.arange(history.shape[1], device=mask.device)
        distance = F.pad(distance, (1, 0)).clamp(0, self.position.num_embeddings - 1)
        x = x + self.position(distance)
        attention_mask = F.pad(mask, (1, 0), value=True)
        for layer in self.layers:
            x = layer(x, attention_mask[:, None, None])
        outputs = x[:, 1:] * mask.unsqueeze(2)
        mean = outputs.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        encoded: Tensor = self.deep(torch.cat([fields.flatten(1), x[:, 0], mean], 1))
        return encoded

    def forward(self, fields: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return logits ``[batch]``; the shapes are those of the package's docstring."""
        return self.out(self.encode(fields, history, mask)).squeeze(1)
