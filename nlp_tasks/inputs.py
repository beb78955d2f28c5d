"""Rows for an encoder from texts or pairs: special tokens added, long texts shortened or cut into windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.config import LengthConfig
from nlp_tasks.recall.sentences import sentence_spans
from nlp_tasks.recall.text_rank import rank
from nlp_tasks.tokenization import Tokenizer, Tokens
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Inputs:
    """Rows for an encoder, ``[CLS] a [SEP]`` or ``[CLS] a [SEP] b [SEP]`` each, and the example of each."""

    ids: NDArray[np.int32]
    """``[total]`` tokens of all rows, one row after the other."""

    offsets: NDArray[np.int64]
    """``[rows + 1]``: row i has ``ids[offsets[i] : offsets[i + 1]]``."""

    second: NDArray[np.int64]
    """``[rows]`` position where the second text begins; the row's length where there is none."""

    owner: NDArray[np.int64]
    """``[rows]`` example that a row belongs to, ascending; several rows of one example are its windows."""

    counts: dict[str, int]
    """Number of texts shortened or not read to the end, by treatment."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[rows]`` tokens of each row."""
        return np.diff(self.offsets)

    @property
    def first_row(self) -> NDArray[np.int64]:
        """``[examples + 1]`` first row of each example, and the number of rows."""
        return np.searchsorted(self.owner, np.arange(len(self) + 1))

    def __len__(self) -> int:
        """Count the examples."""
        return int(self.owner[-1]) + 1 if len(self.owner) else 0

    def gather(self, rows: Ints) -> dict[str, Any]:
        """Pad some rows to the longest of them.

        Returns:
            ``tokens`` and ``segments`` int32 ``[len(rows), seq]``; padding is on the right, row 0 and segment 0.
        """
        lengths = self.lengths[rows]
        position = np.arange(lengths.max())
        mask = position < lengths[:, None]
        tokens = np.zeros(mask.shape, np.int32)
        tokens[mask] = self.ids[ranges(self.offsets[rows], lengths)]
        return {"tokens": tokens, "segments": ((position >= self.second[rows][:, None]) & mask).astype(np.int32)}


def read_texts(
    tokenizer: Tokenizer, texts: Sequence[str], others: Sequence[str] | None, config: LengthConfig, max_len: int
) -> Inputs:
    """Make rows of texts, or of pairs of texts.

    In a pair that is too long, the first text takes what the second one leaves free, at least half of the room; the
    second one takes the rest. With windows, the second text alone is cut into windows, and each follows the full first
    text (or its two ends).

    Args:
        tokenizer: Cuts text into tokens.
        texts: The texts.
        others: The second texts, as many; None for single texts.
        config: Treatment of long ones.
        max_len: Longest row, special tokens included.
    """
    first = tokenizer(texts)
    if others is None:
        return assembled(tokenizer, *_cut(tokenizer, texts, first, np.full(len(first), max_len - 2), config))
    second, room = tokenizer(others), max_len - 2 - tokenizer.separators
    first_room = np.minimum(first.lengths, np.maximum(room // 2, room - second.lengths))
    ends = LengthConfig(head_share=config.head_share) if config.long == "windows" else config
    first, _, counts = _cut(tokenizer, texts, first, first_room, ends)
    second, owner, more = _cut(tokenizer, others, second, room - first.lengths, config)
    total = {name: counts.get(name, 0) + more.get(name, 0) for name in {**counts, **more}}
    return assembled(tokenizer, select_texts(first, owner), owner, total, second)


def longest(config: LengthConfig, encoder: EncoderConfig) -> int:
    """Longest row that is read.

    Raises:
        InputError: More than the encoder can.
    """
    if config.max_len is not None and config.max_len > encoder.max_len:
        raise InputError(f"length.max_len is {config.max_len}; this encoder reads {encoder.max_len} tokens at most.")
    return config.max_len or encoder.max_len


Cut = tuple[Tokens, NDArray[np.int64], dict[str, int]]


def _cut(tokenizer: Tokenizer, texts: Sequence[str], tokens: Tokens, room: Ints, config: LengthConfig) -> Cut:
    """Fit every text into its room: the parts that are read, the text of each part, and counts."""
    owner = np.arange(len(tokens))
    long = np.flatnonzero(tokens.lengths > room)
    if not len(long):
        return tokens, owner, {}
    if config.long == "windows":
        return _windows(tokens, room, config)
    if config.long == "key_sentences":
        tokens = _key_sentences(tokenizer, texts, tokens, room, long)
    return _ends(tokens, room, config.head_share), owner, {"shortened": len(long)}


def _ends(tokens: Tokens, room: Ints, head_share: float) -> Tokens:
    """Drop the middle of texts that are longer than their room."""
    lengths = tokens.lengths
    head = np.where(lengths > room, np.round(room * head_share).astype(np.int64), lengths)
    tail = np.where(lengths > room, room - head, 0)
    position = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], lengths)
    mask = (position < np.repeat(head, lengths)) | (position >= np.repeat(lengths - tail, lengths))
    return Tokens(tokens.ids[mask], offsets_of(np.minimum(lengths, room)))


def _windows(tokens: Tokens, room: Ints, config: LengthConfig) -> Cut:
    """Cut texts into windows as wide as their room; the last one ends where the text does."""
    lengths = tokens.lengths
    rest, stride = np.maximum(lengths - room, 0), np.maximum(1, (room * (1 - config.overlap)).astype(np.int64))
    needed = 1 + -(-rest // stride)
    count = np.minimum(needed, config.max_windows)
    owner = np.repeat(np.arange(len(tokens)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    # where not all fit, they are spread evenly over the text
    step = np.where(needed > count, rest / np.maximum(count - 1, 1), stride)
    start = np.minimum(np.round(number * step[owner]).astype(np.int64), rest[owner])
    width = np.minimum(lengths, room)[owner]
    ids = tokens.ids[ranges(tokens.offsets[owner] + start, width)]
    counts = {"read_in_windows": int((needed > 1).sum()), "windows_left_out": int((needed > count).sum())}
    return Tokens(ids, offsets_of(width)), owner, {name: n for name, n in counts.items() if n}


def _key_sentences(tokenizer: Tokenizer, texts: Sequence[str], tokens: Tokens, room: Ints, long: Ints) -> Tokens:
    """Replace long texts by their most central sentences, in the order of the text.

    Sentences are selected from the most central one down, each if it still fits; where not even the most central one
    does, it is selected and shortened later.
    """
    replaced: dict[int, NDArray[np.int32]] = {}
    for text in long.tolist():
        spans = sentence_spans(texts[text])
        cut = tokenizer([texts[text][start:stop] for start, stop in spans])
        sentences = [cut.ids[a:b] for a, b in zip(cut.offsets[:-1], cut.offsets[1:], strict=True) if b > a]
        order, left, selected = np.argsort(-rank(sentences), kind="stable").tolist(), int(room[text]), []
        for n in order:
            if len(sentences[n]) <= left:
                left -= len(sentences[n])
                selected.append(n)
        replaced[text] = np.concatenate([sentences[n] for n in sorted(selected or order[:1])])
    parts = [
        replaced[text] if text in replaced else tokens.ids[tokens.offsets[text] : tokens.offsets[text + 1]]
        for text in range(len(tokens))
    ]
    return Tokens(np.concatenate(parts), offsets_of(np.array([len(part) for part in parts])))


def assembled(
    tokenizer: Tokenizer, first: Tokens, owner: NDArray[np.int64], counts: dict[str, int], second: Tokens | None = None
) -> Inputs:
    """Put special tokens around the parts.

    Args:
        tokenizer: Knows the special tokens.
        first: Tokens of each row, or of its first text.
        owner: ``[rows]`` example of each row, ascending.
        counts: Number of shortened texts.
        second: Tokens of each row's second text.
    """
    n_between = 1 if second is None else tokenizer.separators
    begins, between = first.lengths + 1 + n_between, 0 if second is None else second.lengths + 1
    offsets = offsets_of(begins + between)
    ids = np.full(offsets[-1], tokenizer.sep, np.int32)  # what is not filled in below ends a text
    ids[offsets[:-1]] = tokenizer.cls
    ids[ranges(offsets[:-1] + 1, first.lengths)] = first.ids
    if second is not None:
        ids[ranges(offsets[:-1] + begins, second.lengths)] = second.ids
    return Inputs(ids, offsets, begins, owner, counts)


def select_texts(tokens: Tokens, texts: Ints) -> Tokens:
    """Select texts, each as often as it is named."""
    lengths = tokens.lengths[texts]
    return Tokens(tokens.ids[ranges(tokens.offsets[texts], lengths)], offsets_of(lengths))


def offsets_of(lengths: Ints) -> NDArray[np.int64]:
    """``[n + 1]`` where parts of these lengths begin, one after the other, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def ranges(starts: Ints, lengths: Ints) -> NDArray[np.int64]:
    """``start, start + 1 … start + length − 1`` of each, one after the other."""
    shift = np.asarray(starts) - (np.cumsum(lengths) - lengths)
    return np.arange(int(np.sum(lengths))) + np.repeat(shift, lengths)
