"""A lexicon: matches of its words in sentences, and word frequencies."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.lines import read_lines
from nlp_tasks.normalisation import is_plain, normalise
from nlp_tasks.tagging.sentences import Sentence
from nlp_tasks.word_vectors.files import WordVectors, read_vectors
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress, step

NONE, RARE = 0, 1
"""Rows of the embedding: no word at all; all words rarer than ``min_count``."""

_FILE = "lexicon.tsv"
_MARK = "\tvector"


class Lexicon:
    """Words and their rows of the embedding.

    Args:
        counts: Frequency by word; 0 for words that do not occur.
        min_count: Rarer words share the row ``RARE``.
        with_vectors: Words with a row of their own at any frequency.
        outermost: Occurrences outside of longer words, by word; None: all of them.
    """

    counts: list[int]
    """Frequency of each row: occurrences outside of longer words, at least 1 (SoftLexicon's paper). A short word would
    otherwise outweigh every longer one that it is a part of."""

    def __init__(
        self,
        counts: dict[str, int],
        min_count: int,
        with_vectors: Container[str] = (),
        outermost: dict[str, int] | None = None,
    ) -> None:
        self.words, self.min_count, self._with_vectors = counts, min_count, with_vectors
        self.outermost = counts if outermost is None else outermost
        self.vectors: WordVectors | None = None
        seen = sorted((-n, word) for word, n in counts.items() if n >= max(1, min_count) or word in with_vectors)
        self.counts = [1, 1, *(max(1, self.outermost[word]) for _, word in seen)]
        self.names = ["", "", *(word for _, word in seen)]
        row = {word: row for row, (_, word) in enumerate(seen, RARE + 1)}
        self._rows = {word: row.get(word, RARE) for word in counts}
        self._prefixes = prefixes(counts)

    def matches(self, sentences: Sequence[Sentence]) -> NDArray[np.int64]:
        """Matches at word borders, ``[k, 4]``: sentence, first word, one past the last, row of the embedding."""
        matches = [
            (number, start, stop, self._rows[word])
            for number, sentence in enumerate(sentences)
            for start, stop, word in occurrences(sentence, self._rows, self._prefixes)
        ]
        return np.array(matches, np.int64).reshape(-1, 4)

    def save(self, folder: Path) -> None:
        """Write ``lexicon.tsv`` into ``folder``."""
        with replacing(folder / _FILE) as temporary:
            lines = (
                f"{word}\t{n}\t{self.outermost[word]}{_MARK if word in self._with_vectors else ''}\n"
                for word, n in self.words.items()
            )
            temporary.write_text("".join(lines), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, min_count: int) -> "Lexicon":
        """Read what ``save`` wrote.

        Raises:
            InputError: It is missing or damaged.
        """
        counts, outermost, with_vectors = {}, {}, set()
        for line, text in read_lines(folder / _FILE):
            word, *numbers = text.removesuffix(_MARK).split("\t")
            if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
                raise InputError(f"line {line} of {folder / _FILE} is damaged. Train the run again.")
            counts[word], outermost[word] = map(int, numbers)
            if text.endswith(_MARK):
                with_vectors.add(word)
        return cls(counts, min_count, with_vectors, outermost)

    @classmethod
    def count(
        cls, words: Iterable[str], sentences: Sequence[Sentence], min_count: int, vectors: WordVectors | None = None
    ) -> "Lexicon":
        """Count the words of a lexicon in sentences.

        Args:
            words: The lexicon.
            sentences: Training sentences, and others without labels; never test sentences.
            min_count: Rarer words share a row.
            vectors: Initial word vectors; words with one have a row of their own.
        """
        known = dict.fromkeys(words, 0)
        known_prefixes, counts, outermost = prefixes(known), Counter[str](), Counter[str]()
        with Progress("counting words", len(sentences), "sentences") as progress:
            for sentence in sentences:
                matches = list(occurrences(sentence, known, known_prefixes))
                counts.update(word for _, _, word in matches)
                outermost.update(_outermost(matches))
                progress.advance()
        with_vectors = set[str]()
        if vectors is not None:
            rows = vectors.rows(list(known)).tolist()
            with_vectors = {word for word, row in zip(known, rows, strict=True) if row >= 0}
        lexicon = cls(known | dict(counts), min_count, with_vectors, known | dict(outermost))
        lexicon.vectors = vectors
        return lexicon

    @property
    def counted(self) -> dict[str, int]:
        """Number of words, of rows, of rows with initial vectors, and of repeated vectors."""
        counted = {"words": len(self.words), "rows": len(self.counts)}
        if self.vectors is not None:
            counted["rows_with_vectors"] = sum(word in self._with_vectors for word in self.names)
            counted["repeated_vectors"] = self.vectors.repeated
        return counted


def read_word_vectors(path: Path | None, words: Sequence[str]) -> WordVectors | None:
    """Read the vectors of the lexicon's words, or of their lower-case forms; None without a file."""
    if path is None:
        return None
    return read_vectors(path, {*words, *(word.lower() for word in words)})


def read_words(path: Path | None, max_length: int) -> list[str]:
    """Read the words of a lexicon.

    Args:
        path: File with one word a line before the first blank; None takes jieba's dictionary.
        max_length: Longest word in characters; longer ones are left out.

    Raises:
        InputError: The file cannot be read or holds no word, or jieba is not installed.
    """
    if path is None:
        try:
            import jieba
        except ImportError as error:
            raise InputError(
                "the default lexicon is jieba's: pip install 'recsys-bert[text]', or name a file with --lexicon.file."
            ) from error
        path = Path(jieba.__file__).with_name("dict.txt")
    with step("reading the lexicon"):
        words = (normalise(line.split(maxsplit=1)[0]) for _, line in read_lines(path) if line.strip())
        short = list(dict.fromkeys(word for word in words if len(word) <= max_length))
    if not short:
        raise InputError(f"{path} holds no word of at most {max_length} characters.")
    return short


def prefixes(words: Iterable[str]) -> frozenset[str]:
    """All prefixes of words, the words included; ``occurrences`` stops early by them."""
    return frozenset(word[:n] for word in words for n in range(1, len(word) + 1))


def occurrences(
    sentence: Sentence, words: Container[str], word_prefixes: frozenset[str]
) -> Iterable[tuple[int, int, str]]:
    """First word, one past the last and text of every entry of ``words`` at word borders of the sentence.

    Entries are in the normalised form (see ``normalise``), in which the sentence is compared with them.
    """
    offsets, is_same = sentence.offsets.tolist(), is_plain(sentence.text)
    text = normalise(sentence.text) if is_same else sentence.text
    for start, (first, _) in enumerate(offsets):
        for stop in range(start + 1, len(offsets) + 1):
            piece = text[first : offsets[stop - 1][1]]
            piece = piece if is_same else normalise(piece)
            if piece not in word_prefixes:
                break
            if piece in words:
                yield start, stop, piece


def _outermost(matches: list[tuple[int, int, str]]) -> Iterable[str]:
    """Words of a sentence that lie within no other one."""
    reached = 0
    for _, stop, word in sorted(matches, key=lambda one: (one[0], -one[1])):
        if stop > reached:
            reached = stop
            yield word
