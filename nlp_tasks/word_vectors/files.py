"""Word vectors in the text format of word2vec, GloVe and fastText: a word and its numbers per line."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.examples import text_list
from nlp_tasks.lines import read_lines
from nlp_tasks.normalisation import normalise
from recsys_bert.checksums import check_file
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.files import replacing
from recsys_bert.progress import Progress

VECTORS_FILE = "vectors.txt"
"""Name in a run folder."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors; ``vectors["word"]``, ``"word" in vectors``."""

    words: list[str]
    """``[n]``, each once."""

    table: NDArray[np.float32]
    """``[n, dim]``."""

    repeated: int = 0
    """Lines left out as repetitions of a word."""

    def rows(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Row of each word, or of its normalised or lower-case form, -1 where there is none: ``[k]``."""
        words = text_list(words, "words")
        row = {word: n for n, word in enumerate(self.words)}
        forms = ((word, normalise(word), normalise(word).lower()) for word in words)
        return np.array([next((row[form] for form in some if form in row), -1) for some in forms], np.int64)

    def __contains__(self, word: str) -> bool:
        return bool(self.rows([word])[0] >= 0)

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        """Vector of a word, ``[dim]``.

        Raises:
            InputError: It has none.
        """
        (row,) = self.rows([word])
        if row < 0:
            raise unknown_name("word with a vector", word, self.words)
        vector: NDArray[np.float32] = self.table[row]
        return vector

    def similar(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The ``k`` words with the highest cosine similarity, and that similarity.

        Raises:
            InputError: The word has no vector.
        """
        vector = self[word]
        norms = np.linalg.norm(self.table, axis=1) * np.linalg.norm(vector)
        cosines = self.table @ vector / np.maximum(norms, np.finfo(np.float32).tiny)
        cosines[self.rows([word])[0]] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(k, len(self.words) - 1)]
        return [(self.words[row], float(cosines[row])) for row in best.tolist()]

    def save(self, path: Path | str) -> None:
        """Write the text format."""
        write_vectors(Path(path), self.words, self.table)

    @classmethod
    def load(cls, path: Path | str) -> "WordVectors":
        """Read the text format; ``path`` may be a run folder of ``text vectors train``."""
        path = Path(path)
        return read_vectors(path / VECTORS_FILE if path.is_dir() else path)


def write_vectors(path: Path, words: Sequence[str], table: NDArray[np.float32]) -> None:
    """Write vectors with a first line of their number and dimension, atomically.

    Args:
        path: The file.
        words: ``[n]``, without white space.
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
        replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8") as file,
        Progress(f"writing {path.name}", len(words), "words") as progress,
    ):
        file.write(f"{len(words)} {table.shape[1]}\n")
        for word, vector in zip(words, table.tolist(), strict=True):
            file.write(f"{word} {' '.join(f'{number:.6g}' for number in vector)}\n")
            progress.advance()


def read_vectors(path: Path, words: Collection[str] | None = None) -> WordVectors:
    """Read vectors, with or without a first line of their number and dimension.

    Args:
        path: The file.
        words: Words to read; of others only the number of cells is checked. None reads all.

    Raises:
        InputError: It cannot be read, has a broken line, a number that is not finite, lines of different widths, or not
            as many as its first line says.
    """
    if path.suffix == ".bin":
        raise InputError(f"{path} looks like word2vec's binary form, which is not read. Write the vectors as text.")
    check_file(path, "train them again")
    lines = _Lines(path)
    rows: dict[str, list[float]] = {}
    repeated = 0
    with Progress(f"reading {path.name}", lines.n_declared, "words") as progress:
        for line, word, cells in lines:
            progress.advance()
            if words is None or word in words:
                numbers = _numbers(path, line, cells)
                repeated += word in rows
                rows.setdefault(word, numbers)
    table = np.array(list(rows.values()), np.float32).reshape(len(rows), lines.dim)
    return WordVectors(list(rows), table, repeated)


class _Lines:
    """Lines of a file of vectors: number, word, cells; most files begin with the numbers of words and dimensions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _, first = next(read_lines(path), (1, ""))
        cells = first.split()
        self.header = len(cells) == 2 and all(cell.isdecimal() for cell in cells)
        self.n_declared = int(cells[0]) if self.header else None
        self.dim = int(cells[1]) if self.header else len(cells) - 1
        if self.dim < 1:
            raise InputError(f"{path} holds no word vectors: its first line is no word with numbers.")

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        n_words = 0
        for line, text in read_lines(self.path):
            if (line == 1 and self.header) or not text.strip():
                continue
            n_words += 1
            text = text.replace("\t", " ").rstrip(" ")
            if "  " in text:
                text = re.sub(r"(?<=[^ ]) +", " ", text)
            word, *cells = text.rsplit(" ", self.dim)  # a word may hold spaces itself
            if len(cells) != self.dim or not word or (" " in word and _is_number(word.rsplit(" ", 1)[1])):
                raise InputError(
                    f"line {line} of {self.path} has {len(text.split()) - 1:,} numbers; the others {self.dim:,}."
                    " Mend or delete the line."
                )
            yield line, word, cells
        if self.n_declared not in (None, n_words):
            raise InputError(
                f"{self.path} declares {self.n_declared:,} words in its first line and has {n_words:,}. It may be "
                "truncated; fetch it again."
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
            f"line {line} of {path} has {bad!r} where a finite 32-bit number is needed. Mend or delete the line."
        )
    return numbers


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
