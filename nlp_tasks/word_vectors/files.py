"""Word vectors as text, as word2vec, GloVe and fastText write them: a word and its numbers a line."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.data import read_lines
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors."""

    words: list[str]
    """``[n]``, each once."""

    table: NDArray[np.float32]
    """``[n, dim]``."""

    repeated: int = 0
    """Lines left out because an earlier one has the same word."""

    def rows(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Row of each word, or of the word in small letters, -1 where there is neither: ``[k]``."""
        row = {word: n for n, word in enumerate(self.words)}
        return np.array([row.get(word, row.get(word.lower(), -1)) for word in words], np.int64)


def write_vectors(path: Path, words: Sequence[str], table: NDArray[np.float32]) -> None:
    """Write vectors with a first line of their number and width, whole or not at all.

    Args:
        path: The file.
        words: ``[n]``, without blanks.
        table: ``[n, dim]``.

    Raises:
        InputError: A number is not finite.
    """
    if bad := int((~np.isfinite(table).all(axis=1)).sum()):
        raise InputError(
            f"{bad:,} of {len(table):,} vectors have numbers that are not finite; {path} is not written. Train again "
            "with a smaller lr."
        )
    with (
        replacing(path) as aside,
        open(aside, "w", encoding="utf-8") as file,
        Progress(f"writing {path.name}", len(words), "words") as progress,
    ):
        file.write(f"{len(words)} {table.shape[1]}\n")
        for word, vector in zip(words, table.tolist(), strict=True):
            file.write(f"{word} {' '.join(f'{number:.6g}' for number in vector)}\n")
            progress.advance()


def read_vectors(path: Path, wanted: Collection[str] | None = None) -> WordVectors:
    """Read vectors, with or without a first line of their number and width.

    Args:
        path: The file.
        wanted: Words that are kept; of others only the number of their cells is checked. None keeps all.

    Raises:
        InputError: It cannot be read, has a broken line, a number that is not finite, lines of different widths, or not
            as many as its first line says.
    """
    if path.suffix == ".bin":
        raise InputError(f"{path} looks like word2vec's binary form, which is not read. Write the vectors as text.")
    lines = _Lines(path)
    rows: dict[str, list[float]] = {}
    repeated = 0
    with Progress(f"reading {path.name}", lines.said, "words") as progress:
        for line, word, cells in lines:
            progress.advance()
            if wanted is None or word in wanted:
                numbers = _numbers(path, line, cells)
                repeated += word in rows
                rows.setdefault(word, numbers)
    table = np.array(list(rows.values()), np.float32).reshape(len(rows), lines.dim)
    return WordVectors(list(rows), table, repeated)


class _Lines:
    """Lines of a file of vectors: number, word, cells.

    The first line of most files says how many words and how many numbers a word there are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _, first = next(read_lines(path), (1, ""))
        cells = first.split()
        self.header = len(cells) == 2 and all(cell.isdecimal() for cell in cells)
        self.said = int(cells[0]) if self.header else None
        self.dim = int(cells[1]) if self.header else len(cells) - 1
        if self.dim < 1:
            raise InputError(f"{path} holds no word vectors: its first line is no word with numbers.")

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        found = 0
        for line, text in read_lines(self.path):
            if (line == 1 and self.header) or not text.strip():
                continue
            found += 1
            text = text.replace("\t", " ").rstrip(" ")
            if "  " in text:
                text = re.sub(r"(?<=[^ ]) +", " ", text)
            word, *cells = text.rsplit(" ", self.dim)  # a word may hold blanks itself
            if len(cells) != self.dim or not word or (" " in word and _is_number(word.rsplit(" ", 1)[1])):
                raise InputError(
                    f"line {line} of {self.path} has {len(text.split()) - 1:,} numbers; the others {self.dim:,}."
                    " Mend or delete the line."
                )
            yield line, word, cells
        if self.said not in (None, found):
            raise InputError(
                f"{self.path} says in its first line that it has {self.said:,} words; it has {found:,}. Perhaps it was "
                "cut off; fetch it again."
            )


def _numbers(path: Path, line: int, cells: Sequence[str]) -> list[float]:
    bad: Any = None
    try:
        numbers = [float(cell) for cell in cells]
        bad = next((cell for cell, number in zip(cells, numbers, strict=True) if not abs(number) <= _LARGEST), None)
    except ValueError:
        bad = next(cell for cell in cells if not _is_number(cell))
    if bad is not None:
        raise InputError(
            f"line {line} of {path} has {bad!r} where a number must stand that is finite in 32 bits. Mend or "
            "delete the line."
        )
    return numbers


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
