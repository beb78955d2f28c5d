"""Tokenized texts as rows of a vocabulary of frequent words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.normalisation import normalise
from nlp_tasks.recall.words import Cut, jieba_tokenizer
from nlp_tasks.tokenization import mostly_chinese
from nlp_tasks.word_vectors.config import WordVectorsConfig
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.static_embeddings.sequences import Sequences

_SAMPLE = 2000  # texts by which Chinese is detected


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as rows of a vocabulary."""

    words: list[str]
    """The vocabulary, the most frequent word first."""

    sequences: Sequences
    """The texts as rows of it, rare words left out."""

    counted: dict[str, int]
    """Numbers of words, occurrences, and of what was left out."""


def encode_texts(texts: Sequence[str], config: WordVectorsConfig) -> EncodedTexts:
    """Tokenize texts and count words.

    Raises:
        InputError: No word occurs ``min_count`` times, or jieba is needed and not installed.
    """
    tokenize, known, parts = _tokenizer(texts, config.tokenizer), dict[str, int](), []
    with Progress("tokenizing texts", len(texts), "texts") as progress:
        for text in texts:
            words = tokenize(normalise(text.lower() if config.lowercase else text))
            parts.append(np.fromiter((known.setdefault(word, len(known)) for word in words), np.int32, len(words)))
            progress.advance()
    occurrences = np.concatenate([np.empty(0, np.int32), *parts])
    counts = np.bincount(occurrences, minlength=len(known))
    order = np.argsort(-counts, kind="stable")  # ties in order of first occurrence
    size = int((counts >= config.min_count).sum())
    if not size:
        raise InputError(
            f"none of the {len(known):,} words in {len(texts):,} texts occurs {config.min_count} times. Give more text "
            "or lower --min-count."
        )
    row = np.full(len(known), -1, np.int32)
    row[order[:size]] = np.arange(size)
    sequences = _sequences(row[occurrences], np.array([len(part) for part in parts]), size)
    every = list(known)
    counted = {
        "texts": len(texts),
        "words": size,
        "occurrences": len(sequences.rows),
        "words_too_rare": len(known) - size,
        "occurrences_too_rare": len(occurrences) - len(sequences.rows),
        "texts_without_neighbours": int((np.diff(sequences.offsets) < 2).sum()),
    }
    return EncodedTexts([every[n] for n in order[:size]], sequences, counted)


def _sequences(rows: NDArray[np.int32], lengths: NDArray[Any], size: int) -> Sequences:
    """Concatenate texts, without rows of -1."""
    ends = np.cumsum(lengths)
    n_known = np.concatenate([[0], np.cumsum(rows >= 0)])
    return Sequences(rows[rows >= 0], np.concatenate([[0], n_known[ends]]), size)


def _tokenizer(texts: Sequence[str], name: str) -> Cut:
    if name == "auto":
        name = "jieba" if mostly_chinese(texts[:_SAMPLE]) else "whitespace"
    if name == "characters":
        return lambda text: [letter for letter in text if not letter.isspace()]
    if name == "whitespace":
        return str.split
    words = jieba_tokenizer("tokenizer 'jieba' needs").lcut
    return lambda text: [part for word in words(text) for part in word.split()]  # white space is a word to jieba
