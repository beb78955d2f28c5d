"""SoftLexicon: the words around a character as four weighted means (https://aclanthology.org/2020.acl-main.528)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nlp_tasks.tagging.lexicon import NONE
from recsys_bert.encoder.necks.bidirectional import Bidirectional
from recsys_bert.errors import InputError

_BEGIN, _MIDDLE, _END, _SINGLE, _SETS = 0, 1, 2, 3, 4


class SoftLexicon(nn.Module):
    """Adds to every unit the words that begin there, go on there, end there, and are that unit alone.

    A set S is ``4 / Z · Σ z(w) e(w)`` over its words, z being counts and Z their sum over all four sets of the unit; an
    empty set is one word NONE with the count 1. A BiLSTM then reads units with their sets, as in the paper. Word
    vectors start at random and are learned.

    Args:
        dim: Width of a unit.
        counts: Of the rows of the word table; see ``Lexicon``.
        width: Of a word vector.
        hidden: Of each direction of the BiLSTM; None = half of ``dim``.
    """

    counts: Tensor

    def __init__(self, dim: int, counts: Sequence[int], *, width: int = 50, hidden: int | None = None) -> None:
        super().__init__()
        if width < 1 or (hidden is not None and hidden < 1):
            raise InputError(f"soft_lexicon: width is {width}, hidden {hidden}; both must be at least 1.")
        self.words = nn.Embedding(len(counts), width)
        nn.init.uniform_(self.words.weight, -((3 / width) ** 0.5), (3 / width) ** 0.5)  # as long as published vectors
        self.register_buffer("counts", torch.tensor(list(counts), dtype=torch.float32), persistent=False)
        self.rnn = Bidirectional(
            nn.LSTM, dim + _SETS * width, max(1, dim // 2) if hidden is None else hidden, causal=False
        )
        self.out_dim = self.rnn.out_dim

    def forward(self, units: Tensor, mask: Tensor, words: Tensor) -> Tensor:
        """``units [batch, seq, dim]``, bool ``mask [batch, seq]``, ``words [k, 4]`` -> ``[batch, seq, out_dim]``."""
        sets = self.sets(mask, words).to(units.dtype)
        read: Tensor = self.rnn(torch.cat([units, sets], dim=-1), mask)
        return read

    def sets(self, mask: Tensor, words: Tensor) -> Tensor:
        """The four sets of every unit side by side, ``[batch, seq, 4 · width]``."""
        batch, seq = mask.shape
        sentence, start, stop, row = words.long().unbind(1)
        length = stop - start
        owner = torch.arange(len(length), device=length.device).repeat_interleave(length)
        place = torch.arange(len(owner), device=length.device) - (length.cumsum(0) - length)[owner]
        first, last = place == 0, place == length[owner] - 1
        kind = torch.full_like(place, _MIDDLE)
        kind[last], kind[first] = _END, _BEGIN
        kind[first & last] = _SINGLE
        at = ((sentence[owner] * seq + start[owner] + place) * _SETS) + kind
        count = self.counts[row[owner]]
        weights = count.new_zeros(batch * seq * _SETS).index_add(0, at, count)
        vectors = self.words(row).float()[owner] * count[:, None]
        summed = vectors.new_zeros(len(weights), vectors.shape[1]).index_add(0, at, vectors)
        empty = weights == 0
        summed = torch.where(empty[:, None], self.words.weight[NONE].float(), summed)
        total = (weights + empty).view(batch, seq, _SETS).sum(dim=2)
        return (_SETS * summed.view(batch, seq, -1)) / total[:, :, None]
