"""Encoder inputs of sentences in words: sliding windows over long ones, and the position of every word's vector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.inputs import Inputs, Ints, assembled, offsets_of, ranges, select_texts
from nlp_tasks.tagging.config import SentenceLengthConfig
from nlp_tasks.tagging.sentences import Sentence
from nlp_tasks.tokenization import Tokenizer, Tokens
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError

MOST_WORDS = 50_000
"""Most words of a sentence: about 5 KB of memory each when it is read, several times that in training."""


class RaggedRows:
    """Rows of integers grouped by example, whose number is the first column.

    Args:
        rows: ``[k, width]``, sorted by example.
        n: Examples.
    """

    def __init__(self, rows: NDArray[np.int64], n: int) -> None:
        self.rows, self._offsets = rows, offsets_of(np.bincount(rows[:, 0], minlength=n))

    def of(self, examples: Ints) -> NDArray[np.int64]:
        """Rows of some examples, ``[k, width]``; the first column becomes the index in ``examples``."""
        counts = np.diff(self._offsets)[examples]
        rows = self.rows[ranges(self._offsets[examples], counts)]
        return np.concatenate([np.repeat(np.arange(len(examples)), counts)[:, None], rows[:, 1:]], axis=1)


@dataclass(frozen=True)
class WordInputs:
    """Encoder rows, and the position of every word's vector in them: that of its first sub-token."""

    inputs: Inputs
    """Rows ``[CLS] words [SEP]`` or, for MRC tagging, ``[CLS] query [SEP] words [SEP]``; an example is a sentence, or a
    sentence with a query."""

    offsets: NDArray[np.int64]
    """``[examples + 1]``: example i has words ``offsets[i] … offsets[i + 1]``."""

    window: NDArray[np.int64]
    """``[words]``: row of its example that holds each word's vector."""

    position: NDArray[np.int64]
    """``[words]``: position in that row."""

    matches: RaggedRows | None = None
    """Lexicon matches by example: first word, one past the last, row of the lexicon's embedding."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[examples]``: number of words."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def word_positions(
        self, examples: Ints, first_row: Ints, width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Positions of word vectors in a batch.

        Args:
            examples: Those of the batch, in its order.
            first_row: ``[examples]`` row of the batch with which each begins.
            width: Positions of a row of the batch.

        Returns:
            Index into the batch's flattened positions, ``[examples, words]`` (0 on padding), and the mask.
        """
        lengths = self.lengths[examples]
        mask = np.arange(lengths.max()) < lengths[:, None]
        words = ranges(self.offsets[examples], lengths)
        positions = np.zeros(mask.shape, np.int64)
        positions[mask] = (np.repeat(first_row, lengths) + self.window[words]) * width + self.position[words]
        return positions, mask


def longest(config: SentenceLengthConfig, encoder: EncoderConfig) -> int:
    """Longest row in tokens.

    Raises:
        InputError: Longer than the encoder's input.
    """
    if config.max_len is not None and config.max_len > encoder.max_len:
        raise InputError(f"length.max_len is {config.max_len}; this encoder reads {encoder.max_len} tokens at most.")
    return config.max_len or encoder.max_len


def read_sentences(
    tokenizer: Tokenizer,
    sentences: Sequence[Sentence],
    config: SentenceLengthConfig,
    max_len: int,
    queries: Sequence[str] = (),
) -> WordInputs:
    """Tokenize sentences into rows; with queries, one example per sentence and query, sentence by sentence.

    Every word is tokenized by itself. A word without tokens becomes the unknown token, and a word of more than half a
    row keeps its first tokens.

    Args:
        tokenizer: Tokenizes words.
        sentences: The sentences, each with at least one word.
        config: Sliding windows for long ones.
        max_len: Longest row, special tokens included.
        queries: Queries of MRC tagging, one per entity type.

    Raises:
        InputError: A sentence is too long and ``config.long`` is ``refuse``, or has more than ``MOST_WORDS`` words; or
            a query leaves no room.
    """
    _check_words(sentences)
    query_tokens = tokenizer(queries)
    room = max_len - 2 - (int(query_tokens.lengths.max()) + tokenizer.separators if queries else 0)
    if room < 4:
        raise InputError(
            f"rows of {max_len} tokens leave no room beside a query of {max(query_tokens.lengths)} tokens."
        )
    tokens, lengths, shortened = _tokens(tokenizer, sentences, room // 2)
    words = np.array([len(sentence) for sentence in sentences], np.int64)
    cut = _windows(lengths, offsets_of(words), room, config)
    n, each = max(1, len(queries)), np.arange(len(sentences))
    counts = {"read_in_windows": cut.long, "words_shortened": shortened}
    counts = {name: count for name, count in counts.items() if count}
    rows = Tokens(tokens[ranges(cut.start, cut.stop - cut.start)], offsets_of(cut.stop - cut.start))
    if not queries:
        inputs = assembled(tokenizer, rows, cut.owner, counts)
        return WordInputs(inputs, offsets_of(words), cut.window, cut.position + 1)
    windows = np.bincount(cut.owner, minlength=len(sentences))
    sentence = np.repeat(each, n)
    query = np.tile(np.arange(n), len(sentences))
    first = np.repeat(np.cumsum(windows) - windows, n)
    owner = np.repeat(np.arange(len(sentence)), windows[sentence])
    query_rows, window_rows = (
        select_texts(query_tokens, query[owner]),
        select_texts(rows, ranges(first, windows[sentence])),
    )
    inputs = assembled(tokenizer, query_rows, owner, counts, window_rows)
    of_words = ranges(offsets_of(words)[sentence], words[sentence])
    before = np.repeat(query_tokens.lengths[query] + 1 + tokenizer.separators, words[sentence])
    return WordInputs(inputs, offsets_of(words[sentence]), cut.window[of_words], cut.position[of_words] + before)


def _check_words(sentences: Sequence[Sentence]) -> None:
    for number, sentence in enumerate(sentences, 1):
        if len(sentence) > MOST_WORDS:
            raise InputError(
                f"sentence {number} has {len(sentence):,} words, and all of a sentence is in memory at once; it may "
                f"have {MOST_WORDS:,}. In a file of columns sentences end at an empty line; split a longer text."
            )


@dataclass
class _Cut:
    """Windows as slices of all sentences' tokens, and the window of each word's vector."""

    owner: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    window: NDArray[np.int64]
    position: NDArray[np.int64]
    long: int


def _tokens(
    tokenizer: Tokenizer, sentences: Sequence[Sentence], most: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Tokens of all words, their number per word, and the number of truncated words."""
    rows: dict[str, int] = {}
    which = np.array([rows.setdefault(word, len(rows)) for one in sentences for word in one.words()], np.int64)
    known = tokenizer.words(list(rows))
    lengths = np.maximum(known.lengths, 1)
    ids = np.full(int(lengths.sum()), tokenizer.unk, np.int32)
    ids[ranges(offsets_of(lengths)[:-1], known.lengths)] = known.ids
    truncated = np.minimum(lengths, most)
    tokens = ids[ranges(offsets_of(lengths)[which], truncated[which])]
    return tokens, truncated[which], int((lengths > most)[which].sum())


def _windows(lengths: NDArray[np.int64], offsets: NDArray[np.int64], room: int, config: SentenceLengthConfig) -> _Cut:
    """Cut sentences into windows of whole words; a sentence that fits is one window."""
    ends = offsets_of(lengths)
    totals = ends[offsets[1:]] - ends[offsets[:-1]]
    long = np.flatnonzero(totals > room)
    if len(long) and config.long == "refuse":
        raise InputError(
            f"sentence {long[0] + 1} has {totals[long[0]]:,} tokens, more than {room:,}; {len(long):,} such sentences "
            "in all. Shorten them, or train with a longer encoder.max_len or length.long 'windows'."
        )
    window = np.zeros(len(lengths), np.int64)
    position = ends[:-1] - np.repeat(ends[offsets[:-1]], np.diff(offsets))
    owners, starts, stops = [], [], []
    is_long = totals > room
    for sentence in range(len(totals)):
        first, last = int(offsets[sentence]), int(offsets[sentence + 1])
        borders = [(first, last)]
        if is_long[sentence]:
            borders = _borders(lengths[first:last], first, room, config.overlap)
            _pick_windows(borders, ends, window[first:last], position[first:last])
        owners += [sentence] * len(borders)
        starts += [int(ends[a]) for a, _ in borders]
        stops += [int(ends[b]) for _, b in borders]
    owner, start, stop = (np.array(values, np.int64) for values in (owners, starts, stops))
    return _Cut(owner, start, stop, window, position, len(long))


def _borders(lengths: NDArray[np.int64], first: int, room: int, overlap: float) -> list[tuple[int, int]]:
    """First word and one past the last of every window over a sentence that begins with word ``first``."""
    ends = offsets_of(lengths)
    windows: list[tuple[int, int]] = []
    start = 0
    while True:
        stop = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
        windows.append((first + start, first + stop))
        if stop == len(lengths):
            return windows
        again = int(np.searchsorted(ends, ends[stop] - room * overlap))
        start = max(start + 1, min(again, stop))


def _pick_windows(
    borders: list[tuple[int, int]], ends: NDArray[np.int64], window: NDArray[np.int64], position: NDArray[np.int64]
) -> None:
    """Fill in, for the words of one long sentence, the window with the most context, and the position in it."""
    sentence = borders[0][0]
    most = np.full(len(window), -1)
    for number, (start, stop) in enumerate(borders):
        words = np.arange(start, stop)
        left = words - start if number else np.full(len(words), len(ends))  # a sentence's own ends cut nothing off
        right = stop - 1 - words if number + 1 < len(borders) else np.full(len(words), len(ends))
        context = np.minimum(left, right)
        better = context > most[start - sentence : stop - sentence]
        improved = words[better] - sentence
        most[improved], window[improved] = context[better], number
        position[improved] = ends[words[better]] - ends[start]
