"""FLAT: self-attention over the lattice of characters and words (https://aclanthology.org/2020.acl-main.611)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recsys_bert.encoder.attention import check_heads
from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.feed_forward import FeedForward
from recsys_bert.errors import InputError

_SCORES = 1 << 23
"""Attention scores computed at a time: a few times 32 MiB, however long sentences are."""


class Flat(nn.Module):
    """One transformer layer over characters and words with relative positions of heads and tails.

    Characters and words are one sequence of spans from character h to character t (h = t for a character).
    ``R = ReLU(W_r [p(h_i - h_j); p(t_i - h_j); p(h_i - t_j); p(t_i - t_j)])`` with p as sinusoids; the scores of a head
    are ``(q_i + u) · k_j + (q_i + v) · W_R R``, unscaled as the paper prints them; and the layer ends as BERT's does.
    Word embeddings are learned from random values.

    Only characters are decoded, and there is one layer, so only characters are queries. For them h = t, so R has as
    many values as there are pairs of (h_i - h_j, t_j - h_j) in a batch: some thousands for the longest sentences. Each
    is computed and multiplied with the queries once; no tensor has axes for queries, keys and width together.

    Args:
        dim: Dimension of character vectors.
        counts: One entry per row of the embedding; only their number is used.
        width: Dimension of word embeddings.
        n_heads: Attention heads; divides ``dim``.
        ffn_dim: Width inside the feed-forward branch; None = ``4 * dim``.
        dropout: Probability in [0, 1) on word vectors and on the output of each branch.
        scaled: Divide scores by the root of a head's width.
        shortest: Minimum length of words in characters; a word of one character only repeats that character.
    """

    def __init__(
        self,
        dim: int,
        counts: Sequence[int],
        *,
        width: int = 50,
        n_heads: int = 4,
        ffn_dim: int | None = None,
        dropout: float = 0.1,
        scaled: bool = False,
        shortest: int = 2,
    ) -> None:
        super().__init__()
        check_heads(dim, n_heads)
        if width < 1 or shortest < 1:
            raise InputError(f"flat: width is {width}, shortest {shortest}; both must be at least 1.")
        self.n_heads, self.shortest, self.out_dim = n_heads, shortest, dim
        self.scale = (dim // n_heads) ** -0.5 if scaled else 1.0
        self.embedding = nn.Embedding(len(counts), width)
        self.up_proj = nn.Linear(width, dim)
        # a bias on keys would change no weight, and one on queries is what u and v are
        self.query, self.key, self.relation_key = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.u, self.v = (nn.Parameter(torch.zeros(n_heads, dim // n_heads)) for _ in range(2))
        self.relation = nn.Linear(4 * dim, dim, bias=False)
        self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attention_norm, self.ffn_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, ffn_dim, "relu")
        self.dropout = Dropout(dropout)

    def forward(self, characters: Tensor, mask: Tensor, matches: Tensor) -> Tensor:
        """See ``LEXICON_LAYERS``; ``[batch, seq, dim] -> [batch, seq, dim]``."""
        row, first, last, mask = self._lattice(mask, matches)
        x = torch.cat([characters, self.dropout(self.up_proj(self.embedding(row))).to(characters.dtype)], dim=1)
        x = self.attention_norm(characters + self.dropout(self.out(self._attend(characters, x, first, last, mask))))
        outputs: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return outputs

    def _lattice(self, mask: Tensor, matches: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sequences of characters and words.

        Returns:
            Rows of the words ``[batch, words]``; first characters, last characters and mask, ``[batch, seq + words]``.
        """
        batch, seq = mask.shape
        matches = matches[matches[:, 2] - matches[:, 1] >= self.shortest].long()
        sentence, first, stop, row = matches[matches[:, 0].argsort(stable=True)].unbind(1)
        counts = sentence.bincount(minlength=batch)
        column = torch.arange(len(sentence), device=mask.device) - (counts.cumsum(0) - counts)[sentence]
        filled = column.new_zeros(4, batch, int(counts.max()))
        filled[:, sentence, column] = torch.stack([row, first, stop - 1, torch.ones_like(row)])
        positions = torch.arange(seq, device=mask.device).expand(batch, seq)
        row, first, last, word_mask = filled
        pairs = ((positions, first), (positions, last), (mask, word_mask.bool()))
        return row, *(torch.cat(pair, 1) for pair in pairs)

    def _attend(self, characters: Tensor, x: Tensor, first: Tensor, last: Tensor, mask: Tensor) -> Tensor:
        """Attention of characters to characters and words, ``[batch, seq, dim]``, in chunks of characters."""
        batch, seq, _ = characters.shape
        query, key, value = self._split(self.query(characters)), self._split(self.key(x)), self._split(self.value(x))
        lengths, length = torch.unique(last - first, return_inverse=True)
        related = self._split(self.relation_key(self._relations(seq, lengths))[None])[0]  # [heads, distances, width]
        wide = batch * self.n_heads * (seq * len(lengths) + x.shape[1])
        step = max(1, min(seq, _SCORES // wide))
        mixed = []
        for start in range(0, seq, step):
            stop = min(start + step, seq)
            # distances from these characters run from start - (seq - 1) to stop - 1
            nearby = related[:, start * len(lengths) : (stop + seq - 1) * len(lengths)]
            distances = torch.arange(stop - start, device=first.device)[None, :, None] + seq - 1 - first[:, None]
            relation = distances * len(lengths) + length[:, None]
            arguments = (query[:, :, start:stop], key, value, nearby, relation, mask)
            if step < seq and torch.is_grad_enabled():
                mixed.append(checkpoint(self._mix, *arguments, use_reentrant=False))
            else:
                mixed.append(self._mix(*arguments))
        return torch.cat(mixed, dim=2).transpose(1, 2).flatten(2)

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, related: Tensor, relation: Tensor, mask: Tensor
    ) -> Tensor:
        """Attention of some characters.

        Args:
            query: ``[batch, heads, characters, width]``.
            key: ``[batch, heads, keys, width]``.
            value: Like ``key``.
            related: ``[heads, relations, width]``.
            relation: Index of a character's relation to a key, ``[batch, characters, keys]``.
            mask: bool ``[batch, keys]``.

        Returns:
            ``[batch, heads, characters, width]``.
        """
        by_content = (query + self.u[:, None]) @ key.transpose(2, 3)
        by_relation = (query + self.v[:, None]) @ related.transpose(1, 2)
        scores = self.scale * (by_content + by_relation.gather(3, relation[:, None].expand_as(by_content)))
        # no −∞: a row of padding alone would become NaN
        scores = scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min)
        return scores.softmax(dim=3).to(value.dtype) @ value

    def _relations(self, seq: int, lengths: Tensor) -> Tensor:
        """R of characters to keys by distance and length, ``[(2 · seq - 1) · lengths, dim]``.

        Args:
            seq: Characters; the distance of first characters runs from 1 - seq to seq - 1.
            lengths: t - h of keys.
        """
        hh, th, ht, tt = self.relation.weight.chunk(4, dim=1)
        waves = sinusoids(torch.arange(1 - seq, seq, device=lengths.device), self.out_dim).to(hh.dtype)
        to_first, to_last = nn.functional.linear(waves, hh + th), nn.functional.linear(waves, ht + tt)
        # a key that ended beyond the sentence has no distance to its end, and does not occur
        ends = (torch.arange(2 * seq - 1, device=lengths.device)[:, None] - lengths).clamp(min=0)
        return (to_first[:, None] + to_last[ends]).relu().flatten(0, 1)

    def _split(self, x: Tensor) -> Tensor:
        """``[batch, seq, dim] -> [batch, heads, seq, width]``."""
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)


def sinusoids(distances: Tensor, dim: int) -> Tensor:
    """Interleaved sinusoidal encodings (https://arxiv.org/abs/1706.03762).

    Args:
        distances: ``[n]``, of either sign.
        dim: Dimension of the result.

    Returns:
        float32 ``[n, dim]``.
    """
    rates = 10_000 ** (-torch.arange(0, dim, 2, device=distances.device) / dim)
    angles = distances[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :dim]
