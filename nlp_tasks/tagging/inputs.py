"""What an encoder reads of sentences in units: windows over long ones, and where each unit is heard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.inputs import Inputs, Ints, assembled, offsets_of, ranges, taken
from nlp_tasks.tagging.config import SentenceLengthConfig
from nlp_tasks.tagging.sentences import Sentence
from nlp_tasks.tokenization import Tokenizer, Tokens
from recsys_bert.errors import InputError


class Listed:
    """Rows of several numbers that belong to examples, the first number naming the example.

    Args:
        rows: ``[k, width]``, sorted by example.
        n: Examples.
    """

    def __init__(self, rows: NDArray[np.int64], n: int) -> None:
        self.rows, self._offsets = rows, offsets_of(np.bincount(rows[:, 0], minlength=n))

    def of(self, examples: Ints) -> NDArray[np.int64]:
        """Rows of some examples, ``[k, width]``, each example now named by its place among them."""
        counts = np.diff(self._offsets)[examples]
        found = self.rows[ranges(self._offsets[examples], counts)]
        return np.concatenate([np.repeat(np.arange(len(examples)), counts)[:, None], found[:, 1:]], axis=1)


@dataclass(frozen=True)
class UnitInputs:
    """Rows for an encoder, and the position in them that speaks for each unit: its first sub-token's."""

    inputs: Inputs
    """Rows ``[CLS] units [SEP]``, or with a question before the units; an example is a sentence, or one question."""

    offsets: NDArray[np.int64]
    """``[examples + 1]``: example i has units ``offsets[i] … offsets[i + 1]``."""

    window: NDArray[np.int64]
    """``[units]`` which of its example's rows speaks for each unit."""

    place: NDArray[np.int64]
    """``[units]`` position in that row."""

    words: Listed | None = None
    """Words of a lexicon by example: first unit, one past the last, row of the word table."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[examples]`` units of each."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def heard(self, examples: Ints, first_row: Ints, width: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where units are heard in a batch.

        Args:
            examples: Those of the batch, in its order.
            first_row: ``[examples]`` row of the batch with which each begins.
            width: Positions of a row of the batch.

        Returns:
            Place in the batch's flattened positions, ``[examples, units]`` (0 on padding), and which units there are.
        """
        lengths = self.lengths[examples]
        mask = np.arange(lengths.max()) < lengths[:, None]
        units = ranges(self.offsets[examples], lengths)
        places = np.zeros(mask.shape, np.int64)
        places[mask] = (np.repeat(first_row, lengths) + self.window[units]) * width + self.place[units]
        return places, mask


def read_sentences(
    tokenizer: Tokenizer,
    sentences: Sequence[Sentence],
    config: SentenceLengthConfig,
    max_len: int,
    questions: Sequence[str] = (),
) -> UnitInputs:
    """Make rows of sentences; with questions, one example for every sentence and question, sentence by sentence.

    Each unit is cut into tokens by itself. One that gives none is read as an unknown token, and of one that takes more
    than half a row its first tokens.

    Args:
        tokenizer: Cuts units into tokens.
        sentences: The sentences, each with at least one unit.
        config: What happens to long ones.
        max_len: Longest row, special tokens included.
        questions: What is asked of every sentence.

    Raises:
        InputError: A sentence is too long and ``config.long`` is ``refuse``; or a question leaves no room.
    """
    asked = tokenizer(questions)
    room = max_len - 2 - (int(asked.lengths.max()) + 1 if questions else 0)
    if room < 4:
        raise InputError(f"rows of {max_len} tokens leave no room beside a question of {max_len - 3 - room}.")
    tokens, lengths, shortened = _tokens(tokenizer, sentences, room // 2)
    units = np.array([len(sentence) for sentence in sentences], np.int64)
    cut = _windows(lengths, offsets_of(units), room, config)
    n, each = max(1, len(questions)), np.arange(len(sentences))
    counts = {"read_in_windows": cut.long, "words_shortened": shortened}
    counts = {name: count for name, count in counts.items() if count}
    rows = Tokens(tokens[ranges(cut.start, cut.stop - cut.start)], offsets_of(cut.stop - cut.start))
    if not questions:
        inputs = assembled(tokenizer, rows, cut.owner, counts)
        return UnitInputs(inputs, offsets_of(units), cut.window, cut.place + 1)
    windows = np.bincount(cut.owner, minlength=len(sentences))
    sentence = np.repeat(each, n)
    question = np.tile(np.arange(n), len(sentences))
    first = np.repeat(np.cumsum(windows) - windows, n)
    owner = np.repeat(np.arange(len(sentence)), windows[sentence])
    chosen = ranges(first, windows[sentence])
    inputs = assembled(tokenizer, taken(asked, question[owner]), owner, counts, taken(rows, chosen))
    of_units = ranges(offsets_of(units)[sentence], units[sentence])
    before = np.repeat(asked.lengths[question] + 2, units[sentence])
    return UnitInputs(inputs, offsets_of(units[sentence]), cut.window[of_units], cut.place[of_units] + before)


@dataclass
class _Cut:
    """Windows as stretches of the tokens of all sentences, and the one that speaks for each unit."""

    owner: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    window: NDArray[np.int64]
    place: NDArray[np.int64]
    long: int


def _tokens(
    tokenizer: Tokenizer, sentences: Sequence[Sentence], most: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Tokens of all units, their number by unit, and how many units lost some."""
    rows: dict[str, int] = {}
    which = np.array([rows.setdefault(word, len(rows)) for one in sentences for word in one.words()], np.int64)
    known = tokenizer(list(rows))
    lengths = np.maximum(known.lengths, 1)
    ids = np.full(int(lengths.sum()), tokenizer.unk, np.int32)
    ids[ranges(offsets_of(lengths)[:-1], known.lengths)] = known.ids
    kept = np.minimum(lengths, most)
    tokens = ids[ranges(offsets_of(lengths)[which], kept[which])]
    return tokens, kept[which], int((lengths > most)[which].sum())


def _windows(lengths: NDArray[np.int64], offsets: NDArray[np.int64], room: int, config: SentenceLengthConfig) -> _Cut:
    """Cut sentences into windows of whole units; one where there is room for all of it."""
    ends = offsets_of(lengths)
    totals = ends[offsets[1:]] - ends[offsets[:-1]]
    long = np.flatnonzero(totals > room)
    if len(long) and config.long == "refuse":
        raise InputError(
            f"sentence {long[0] + 1} takes {totals[long[0]]:,} tokens where {room:,} are read at once; {len(long):,} "
            "such sentences in all. Shorten them, or train with a longer encoder.max_len or length.long 'windows'."
        )
    window = np.zeros(len(lengths), np.int64)
    place = ends[:-1] - np.repeat(ends[offsets[:-1]], np.diff(offsets))
    owners, starts, stops = [], [], []
    is_long = totals > room
    for sentence in range(len(totals)):
        first, last = int(offsets[sentence]), int(offsets[sentence + 1])
        borders = [(first, last)]
        if is_long[sentence]:
            borders = _borders(lengths[first:last], first, room, config.overlap)
            _speakers(borders, ends, window[first:last], place[first:last])
        owners += [sentence] * len(borders)
        starts += [int(ends[a]) for a, _ in borders]
        stops += [int(ends[b]) for _, b in borders]
    owner, start, stop = (np.array(values, np.int64) for values in (owners, starts, stops))
    return _Cut(owner, start, stop, window, place, len(long))


def _borders(lengths: NDArray[np.int64], first: int, room: int, overlap: float) -> list[tuple[int, int]]:
    """First unit and one past the last of every window over a sentence that begins with unit ``first``."""
    ends = offsets_of(lengths)
    found: list[tuple[int, int]] = []
    start = 0
    while True:
        stop = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
        found.append((first + start, first + stop))
        if stop == len(lengths):
            return found
        again = int(np.searchsorted(ends, ends[stop] - room * overlap))
        start = max(start + 1, min(again, stop))


def _speakers(
    borders: list[tuple[int, int]], ends: NDArray[np.int64], window: NDArray[np.int64], place: NDArray[np.int64]
) -> None:
    """Fill in, for the units of one long sentence, the window that shows most around each, and the position there."""
    sentence = borders[0][0]
    most = np.full(len(window), -1)
    for number, (start, stop) in enumerate(borders):
        units = np.arange(start, stop)
        left = units - start if number else np.full(len(units), len(ends))  # a sentence's own ends cut nothing off
        right = stop - 1 - units if number + 1 < len(borders) else np.full(len(units), len(ends))
        shown = np.minimum(left, right)
        better = shown > most[start - sentence : stop - sentence]
        chosen = units[better] - sentence
        most[chosen], window[chosen] = shown[better], number
        place[chosen] = ends[units[better]] - ends[start]
