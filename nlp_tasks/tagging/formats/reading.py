"""State of reading a file, and sentences of words or texts, whatever their format."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nlp_tasks.tagging.config import AnnotatedFilesConfig, Granularity, WordSeparator
from nlp_tasks.tagging.data import LOST, SAMPLE, AnnotatedSentences
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import join_words, split_words
from nlp_tasks.tokenization import mostly_chinese

UNSEEN = "words left out that are characters which are not seen"
INCLUSIVE = "entities whose end is their last character"
UTF16 = "entities counted in UTF-16 units"
"""Counts of ``AnnotatedSentences.repaired``."""


@dataclass
class Reading:
    """Problems and repairs of a file."""

    path: Path
    config: AnnotatedFilesConfig
    flags: str
    bad: list[tuple[int, str]] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def refuse(self, line: int, reason: str, entities: int = 0) -> None:
        """Note an unusable sentence and its entities."""
        self.bad.append((line, reason))
        self.repaired[LOST] += entities


def of_words(
    path: Path,
    rows: Sequence[tuple[int, list[str], tuple[tuple[Span, ...], ...]]],
    config: AnnotatedFilesConfig,
    columns: tuple[int, tuple[int, ...]] | None = None,
) -> AnnotatedSentences:
    """Sentences of words with entities."""
    granularity, word_separator = _word_format([word for _, words, _ in rows[:SAMPLE] for word in words], config)
    separator = "" if word_separator == "none" else " "
    sentences = [replace(join_words(words, separator), levels=levels) for _, words, levels in rows]
    numbers = [line for line, _, _ in rows]
    return AnnotatedSentences(path, numbers, sentences, granularity, word_separator, columns=columns)


def _word_format(words: Sequence[str], config: AnnotatedFilesConfig) -> tuple[Granularity, WordSeparator]:
    """Granularity and word separator of a conll file: as set, or by its words.

    Chinese text by characters often has years or Latin words in one piece. Its characters are joined all the same, or
    no word of a lexicon or dictionary would match; but plain text is then split into words, each Chinese character one,
    since a year would else be split as nowhere in training.
    """
    single = bool(words) and all(len(word) == 1 for word in words)
    granularity: Granularity = "characters" if single else "words"
    if config.granularity != "auto":
        granularity = config.granularity
    if config.word_separator != "auto":
        return granularity, config.word_separator
    chinese = [word for word in words if mostly_chinese([word])]
    by_characters = mostly_chinese(words) and sum(len(word) == 1 for word in chinese) > 0.9 * len(chinese)
    return granularity, "none" if single or by_characters or config.granularity == "characters" else "space"


def from_texts(path: Path, texts: Sequence[tuple[int, str]], config: AnnotatedFilesConfig) -> AnnotatedSentences:
    """Sentences of numbered texts, split into words or characters, without entities."""
    chinese = mostly_chinese(text for _, text in texts[:SAMPLE])
    granularity: Granularity = "characters" if chinese else "words"
    if config.granularity != "auto":
        granularity = config.granularity
    word_separator: WordSeparator = "none" if chinese or granularity == "characters" else "space"
    if config.word_separator != "auto":
        word_separator = config.word_separator
    sentences = [split_words(text, granularity) for _, text in texts]
    return AnnotatedSentences(path, [line for line, _ in texts], sentences, granularity, word_separator)
