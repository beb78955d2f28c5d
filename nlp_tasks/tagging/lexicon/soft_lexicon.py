"""SoftLexicon: lexicon words of a character as four weighted means (https://aclanthology.org/2020.acl-main.528)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nlp_tasks.tagging.lexicon.lexicon import NONE
from recsys_bert.encoder.necks.bidirectional import Bidirectional
from recsys_bert.errors import InputError

_BEGIN, _MIDDLE, _END, _SINGLE, _SETS = 0, 1, 2, 3, 4


class SoftLexicon(nn.Module):
    """Concatenate the B, M, E and S word sets of every character to its vector, then a BiLSTM.

    A set S is ``4 / Z · Σ z(w) e(w)`` over its words, z being counts and Z their sum over all four sets of the
    character; an empty set is one word NONE with the count 1. Word embeddings are learned from random values.

    Args:
        dim: Dimension of character vectors.
        counts: Frequency of each row of the embedding; see ``Lexicon``.
        width: Dimension of word embeddings.
        hidden: Hidden size of each direction of the BiLSTM; None = half of ``dim``.
    """

    counts: Tensor

    def __init__(self, dim: int, counts: Sequence[int], *, width: int = 50, hidden: int | None = None) -> None:
        super().__init__()
        if width < 1 or (hidden is not None and hidden < 1):
            raise InputError(f"soft_lexicon: width is {width}, hidden {hidden}; both must be at least 1.")
        self.embedding = nn.Embedding(len(counts), width)
        bound = (3 / width) ** 0.5  # gives the norm of published vectors
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        self.register_buffer("counts", torch.tensor(list(counts), dtype=torch.float32), persistent=False)
        self.rnn = Bidirectional(
            nn.LSTM, dim + _SETS * width, max(1, dim // 2) if hidden is None else hidden, causal=False
        )
        self.out_dim = self.rnn.out_dim

    def forward(self, characters: Tensor, mask: Tensor, matches: Tensor) -> Tensor:
        """See ``LEXICON_LAYERS``; ``[batch, seq, dim] -> [batch, seq, out_dim]``."""
        sets = self.sets(mask, matches).to(characters.dtype)
        outputs: Tensor = self.rnn(torch.cat([characters, sets], dim=-1), mask)
        return outputs

    def sets(self, mask: Tensor, matches: Tensor) -> Tensor:
        """The four sets of every character side by side, ``[batch, seq, 4 · width]``."""
        batch, seq = mask.shape
        sentence, start, stop, row = matches.long().unbind(1)
        length = stop - start
        owner = torch.arange(len(length), device=length.device).repeat_interleave(length)
        position = torch.arange(len(owner), device=length.device) - (length.cumsum(0) - length)[owner]
        first, last = position == 0, position == length[owner] - 1
        kind = torch.full_like(position, _MIDDLE)
        kind[last], kind[first] = _END, _BEGIN
        kind[first & last] = _SINGLE
        at = ((sentence[owner] * seq + start[owner] + position) * _SETS) + kind
        count = self.counts[row[owner]]
        weights = count.new_zeros(batch * seq * _SETS).index_add(0, at, count)
        vectors = self.embedding(row).float()[owner] * count[:, None]
        summed = vectors.new_zeros(len(weights), vectors.shape[1]).index_add(0, at, vectors)
        empty = weights == 0
        summed = torch.where(empty[:, None], self.embedding.weight[NONE].float(), summed)
        total = (weights + empty).view(batch, seq, _SETS).sum(dim=2)
        return (_SETS * summed.view(batch, seq, -1)) / total[:, :, None]
