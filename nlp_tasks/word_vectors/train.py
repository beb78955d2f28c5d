"""Texts as sequences of the words that occur often enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.recall.words import Cut, jieba_tokenizer
from nlp_tasks.tokenization import mostly_chinese
from nlp_tasks.word_vectors.config import VectorTextConfig
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.static_embeddings.sequences import Sequences

_SAMPLE = 2000  # texts looked at to tell whether a text is Chinese


@dataclass(frozen=True)
class CutText:
    """Words of texts, as rows of a vocabulary."""

    words: list[str]
    """The vocabulary, the most frequent first."""

    sequences: Sequences
    """The texts in rows of it, rare words left out."""

    counted: dict[str, int]
    """Words, how often they occur, and what was left out."""


def cut_words(texts: Sequence[str], config: VectorTextConfig) -> CutText:
    """Cut texts into words and count them.

    Raises:
        InputError: No word occurs ``min_count`` times, or jieba is needed and not installed.
    """
    cut, known, parts = _cutter(texts, config.unit), dict[str, int](), []
    with Progress("cutting texts into words", len(texts), "texts") as progress:
        for text in texts:
            found = cut(text.lower() if config.lowercase else text)
            parts.append(np.fromiter((known.setdefault(word, len(known)) for word in found), np.int32, len(found)))
            progress.advance()
    met = np.concatenate([np.empty(0, np.int32), *parts])
    counts = np.bincount(met, minlength=len(known))
    order = np.argsort(-counts, kind="stable")  # the first met first between equals
    size = int((counts >= config.min_count).sum())
    if not size:
        raise InputError(
            f"none of the {len(known):,} words in {len(texts):,} texts occurs {config.min_count} times. Give more text "
            "or lower --text.min-count."
        )
    row = np.full(len(known), -1, np.int32)
    row[order[:size]] = np.arange(size)
    sequences = _sequences(row[met], np.array([len(part) for part in parts]), size)
    every = list(known)
    counted = {
        "texts": len(texts),
        "words": size,
        "occurrences": len(sequences.rows),
        "words_too_rare": len(known) - size,
        "occurrences_too_rare": len(met) - len(sequences.rows),
        "texts_without_neighbours": int((np.diff(sequences.offsets) < 2).sum()),
    }
    return CutText([every[n] for n in order[:size]], sequences, counted)


def _sequences(rows: NDArray[np.int32], lengths: NDArray[Any], size: int) -> Sequences:
    """Texts one after the other, without the rows that are -1."""
    ends = np.cumsum(lengths)
    kept = np.concatenate([[0], np.cumsum(rows >= 0)])
    return Sequences(rows[rows >= 0], np.concatenate([[0], kept[ends]]), size)


def _cutter(texts: Sequence[str], unit: str) -> Cut:
    if unit == "auto":
        unit = "jieba" if mostly_chinese(texts[:_SAMPLE]) else "blanks"
    if unit == "characters":
        return lambda text: [letter for letter in text if not letter.isspace()]
    if unit == "blanks":
        return str.split
    words = jieba_tokenizer("text.unit 'jieba' needs").lcut
    return lambda text: [part for word in words(text) for part in word.split()]  # a blank is a word to jieba
