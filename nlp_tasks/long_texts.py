"""Long texts in pieces, since an encoding takes a hundred times the memory of its text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PIECE = 1 << 16  # characters
_BLANK = r"(?<=\S) (?=\S)"
_CUT = {False: re.compile(_BLANK), True: re.compile(rf"{_BLANK}|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])")}


@dataclass(frozen=True)
class Piece:
    """A text, or a part of a long one."""

    text: int
    """Position of the text."""

    start: int
    """First character."""

    content: str
    """Characters."""


def batches_of_pieces(
    texts: Sequence[str], *, count: int, characters: int, chinese: bool, size: int = PIECE
) -> Iterator[list[Piece]]:
    """Yield pieces in batches, in the order of the texts.

    A text of at most ``size`` characters is one piece. A longer one is cut before single blanks between two words,
    which gives the tokens of the whole: every tokenizer ends a word there.

    Args:
        texts: The texts.
        count: Most pieces in a batch.
        characters: Characters at which a batch ends.
        chinese: Cut between two Chinese characters too; right where each of them is a word.
        size: Characters of a piece; more where a text has no place to cut.
    """
    batch: list[Piece] = []
    total = 0
    for number, text in enumerate(texts):
        for start, stop in _cuts(text, chinese, size):
            batch.append(Piece(number, start, text[start:stop]))
            total += stop - start
            if len(batch) == count or total >= characters:
                yield batch
                batch, total = [], 0
    if batch:
        yield batch


def _cuts(text: str, chinese: bool, size: int) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > size and (match := _CUT[chinese].search(text, start + size)):
        yield start, match.start()
        start = match.start()
    yield start, len(text)
