"""A lexicon: which of its words occur in a sentence, and how often each occurs in text."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.data import read_lines
from nlp_tasks.tagging.config import LexiconConfig
from nlp_tasks.tagging.sentences import Sentence
from nlp_tasks.word_vectors.files import WordVectors, read_vectors
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress, step

NONE, RARE = 0, 1
"""Rows of the word table: no word at all; all words that occur too seldom for a row of their own."""

_FILE = "lexicon.tsv"
_MARK = "\tvector"


class Lexicon:
    """Words, and the row of the word table that each has.

    Args:
        counts: How often every word of the lexicon occurs, by word; 0 for one that was never seen.
        min_count: Words that occur less often share the row ``RARE``.
        own: Words that have a row of their own all the same.
        alone: How often words occur outside of longer ones; None: always.
    """

    counts: list[int]
    """What each row counts: how often its word occurs outside of longer ones, and at least 1 (SoftLexicon's paper). A
    short word would otherwise outweigh every longer one that it is a part of."""

    def __init__(
        self,
        counts: dict[str, int],
        min_count: int,
        own: Container[str] = (),
        alone: dict[str, int] | None = None,
    ) -> None:
        self.words, self.min_count, self._own = counts, min_count, own
        self.alone = counts if alone is None else alone
        self.vectors: WordVectors | None = None
        seen = sorted((-n, word) for word, n in counts.items() if n >= max(1, min_count) or word in own)
        self.counts = [1, 1, *(max(1, self.alone[word]) for _, word in seen)]
        self.names = ["", "", *(word for _, word in seen)]
        row = {word: row for row, (_, word) in enumerate(seen, RARE + 1)}
        self._rows = {word: row.get(word, RARE) for word in counts}
        self._begins = beginnings(counts)

    def matches(self, sentences: Sequence[Sentence]) -> NDArray[np.int64]:
        """Words in sentences, from unit to unit: ``[k, 4]``: sentence, first unit, one past the last, row."""
        found = [
            (number, start, stop, self._rows[word])
            for number, sentence in enumerate(sentences)
            for start, stop, word in occurrences(sentence, self._rows, self._begins)
        ]
        return np.array(found, np.int64).reshape(-1, 4)

    def save(self, folder: Path) -> None:
        """Write ``lexicon.tsv`` into ``folder``."""
        with replacing(folder / _FILE) as aside:
            lines = (
                f"{word}\t{n}\t{self.alone[word]}{_MARK if word in self._own else ''}\n"
                for word, n in self.words.items()
            )
            aside.write_text("".join(lines), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, min_count: int) -> "Lexicon":
        """Read what ``save`` wrote.

        Raises:
            InputError: It is missing or damaged.
        """
        counts, alone, own = {}, {}, set()
        for line, text in read_lines(folder / _FILE):
            word, *numbers = text.removesuffix(_MARK).split("\t")
            if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
                raise InputError(f"line {line} of {folder / _FILE} is damaged. Train the run again.")
            counts[word], alone[word] = map(int, numbers)
            if text.endswith(_MARK):
                own.add(word)
        return cls(counts, min_count, own, alone)

    @classmethod
    def count(
        cls, words: Iterable[str], sentences: Sequence[Sentence], min_count: int, vectors: WordVectors | None = None
    ) -> "Lexicon":
        """Count how often words occur in sentences, and how often of that outside of longer words.

        Args:
            words: The lexicon.
            sentences: Training sentences, and others without labels; never those that are tested on.
            min_count: Words that occur less often share a row.
            vectors: Word vectors, on which a table of words starts; words that have one have a row of their own.
        """
        known = dict.fromkeys(words, 0)
        begins, counts, alone = beginnings(known), Counter[str](), Counter[str]()
        with Progress("counting words", len(sentences), "sentences") as progress:
            for sentence in sentences:
                found = list(occurrences(sentence, known, begins))
                counts.update(word for _, _, word in found)
                alone.update(_outermost(found))
                progress.advance()
        own = set[str]()
        if vectors is not None:
            own = {word for word, row in zip(known, vectors.rows(list(known)).tolist(), strict=True) if row >= 0}
        made = cls(known | dict(counts), min_count, own, known | dict(alone))
        made.vectors = vectors
        return made

    @property
    def counted(self) -> dict[str, int]:
        """Words, rows of their table, those of them that start on vectors, and vectors of a word that had one."""
        counted = {"words": len(self.words), "rows": len(self.counts)}
        if self.vectors is not None:
            counted["rows_with_vectors"] = sum(word in self._own for word in self.names)
            counted["repeated_vectors"] = self.vectors.repeated
        return counted


def read_word_vectors(config: LexiconConfig, words: Sequence[str]) -> WordVectors | None:
    """Vectors of the lexicon's words, or of these in small letters, where a file of them is named."""
    if config.vectors is None:
        return None
    return read_vectors(config.vectors, {*words, *(word.lower() for word in words)})


def read_words(config: LexiconConfig) -> list[str]:
    """Words of a file, one a line before the first blank, or of jieba's dictionary; those of ``max_length`` at most.

    Raises:
        InputError: The file cannot be read or holds no word, or jieba is not installed.
    """
    if config.file is not None:
        path = config.file
    else:
        try:
            import jieba
        except ImportError as error:
            raise InputError(
                "the default lexicon is jieba's: pip install 'recsys-bert[text]', or name a file with --words.file."
            ) from error
        path = Path(jieba.__file__).with_name("dict.txt")
    with step("reading the lexicon"):
        words = (line.split(maxsplit=1)[0] for _, line in read_lines(path) if line.strip())
        found = list(dict.fromkeys(word for word in words if len(word) <= config.max_length))
    if not found:
        raise InputError(f"{path} holds no word of at most {config.max_length} characters.")
    return found


def beginnings(words: Iterable[str]) -> frozenset[str]:
    """Every beginning of a word, the whole word as well; what ``occurrences`` needs to stop early."""
    return frozenset(word[:n] for word in words for n in range(1, len(word) + 1))


def occurrences(sentence: Sentence, words: Container[str], begins: frozenset[str]) -> Iterable[tuple[int, int, str]]:
    """First unit, one past the last and text of every word that begins and ends with units."""
    text, units = sentence.text, sentence.units.tolist()
    for start, (first, _) in enumerate(units):
        for stop in range(start + 1, len(units) + 1):
            piece = text[first : units[stop - 1][1]]
            if piece not in begins:
                break
            if piece in words:
                yield start, stop, piece


def _outermost(found: list[tuple[int, int, str]]) -> Iterable[str]:
    """Words that lie within no other one, of those of one sentence."""
    reached = 0
    for _, stop, word in sorted(found, key=lambda one: (one[0], -one[1])):
        if stop > reached:
            reached = stop
            yield word
