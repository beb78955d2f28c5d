"""Rows of a generator: ``[CLS] source [SEP] target [SEP]``, or pieces of ``text [SEP]`` behind ``[CLS]``."""

from collections.abc import Sequence

import numpy as np

from nlp_tasks.config import LengthConfig
from nlp_tasks.inputs import Inputs, Ints, offsets_of, ranges, read_texts
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.errors import InputError

Rows = tuple[Inputs, Ints]
"""Rows, and the first position of each that is to be predicted."""


def source_room(max_len: int, max_length: int) -> int:
    """Tokens of a source or prompt at most, the special ones included.

    Args:
        max_len: Tokens that are read at once.
        max_length: Tokens that are generated at most.

    Raises:
        InputError: Nothing is left.
    """
    if (room := max_len - max_length) < 3:
        raise InputError(
            f"decoding.max_length is {max_length}, but source and target together have {max_len} tokens, three of "
            "them for the source at least; set it lower, or length.max_len and encoder.max_len higher."
        )
    return room


def source_rows(tokenizer: Tokenizer, sources: Sequence[str], length: LengthConfig, room: int) -> Inputs:
    """Rows ``[CLS] source [SEP]``; longer ones are shortened and counted."""
    return read_texts(tokenizer, sources, None, length, room)


def pair_rows(tokenizer: Tokenizer, sources: Inputs, targets: Sequence[str]) -> Rows:
    """Rows of sources with their targets, which begin the second segment."""
    tokens = tokenizer(targets)
    offsets = offsets_of(sources.lengths + tokens.lengths + 1)
    ids = np.full(offsets[-1], tokenizer.sep, np.int32)  # what is not filled in below ends a target
    ids[ranges(offsets[:-1], sources.lengths)] = sources.ids
    ids[ranges(offsets[:-1] + sources.lengths, tokens.lengths)] = tokens.ids
    return Inputs(ids, offsets, sources.lengths, np.arange(len(tokens)), sources.counts), sources.lengths


def text_rows(tokenizer: Tokenizer, texts: Sequence[str], max_len: int) -> Rows:
    """Rows of texts for a language model; a text that is too long becomes several rows, one after the other."""
    tokens = tokenizer(texts)
    pieces, cut = [], 0
    for start, stop in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        whole = np.append(tokens.ids[start:stop], np.int32(tokenizer.sep))
        parts = [whole[first : first + max_len - 1] for first in range(0, len(whole), max_len - 1)]
        pieces += [np.concatenate([[np.int32(tokenizer.cls)], part]) for part in parts]
        cut += len(parts) > 1
    lengths = np.array([len(piece) for piece in pieces])
    counts = {"cut_into_pieces": cut} if cut else {}
    ids = np.concatenate(pieces).astype(np.int32)
    return Inputs(ids, offsets_of(lengths), lengths, np.arange(len(pieces)), counts), np.ones(len(pieces), np.int64)


def prompt_rows(tokenizer: Tokenizer, prompts: Sequence[str], room: int) -> Inputs:
    """Rows ``[CLS] prompt``; of a longer prompt the end is read, and it is counted."""
    tokens = tokenizer(prompts)
    lengths = np.minimum(tokens.lengths, room - 1)
    offsets = offsets_of(lengths + 1)
    ids = np.full(offsets[-1], tokenizer.cls, np.int32)
    ids[ranges(offsets[:-1] + 1, lengths)] = tokens.ids[ranges(tokens.offsets[1:] - lengths, lengths)]
    shortened = int((lengths < tokens.lengths).sum())
    counts = {"shortened": shortened} if shortened else {}
    return Inputs(ids, offsets, lengths + 1, np.arange(len(tokens)), counts)


def unusable(tokenizer: Tokenizer, columns: Sequence[Sequence[str]], max_length: int) -> list[str]:
    """Reason why an example cannot be used, "" where it can.

    Args:
        tokenizer: Cuts texts into tokens.
        columns: Sources and targets, or texts alone.
        max_length: Tokens of a target at most, the one that ends it included.
    """
    lengths = [tokenizer(column).lengths.tolist() for column in columns]
    reasons = []
    for row in zip(*lengths, strict=True):
        reason = "" if all(row) else "no character that the tokenizer reads"
        if len(row) == 2 and row[1] + 1 > max_length:
            reason = f"a target of {row[1] + 1} tokens, decoding.max_length allows {max_length}"
        reasons.append(reason)
    return reasons
