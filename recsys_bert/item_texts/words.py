"""Means of word vectors with smooth inverse frequency (Arora et al. 2017, https://openreview.net/forum?id=SyK00v5xx).

A word of probability p weighs ``a / (a + p)``, so that frequent words count little; what all texts share is taken out
by the reduction that follows, which centres.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.errors import InputError
from recsys_bert.item_texts.tfidf import State, words_of

Floats = NDArray[np.float32]


class WordTable(Protocol):
    """Words and their vectors, as ``nlp_tasks.word_vectors`` reads them from a file."""

    table: Floats
    """``[n, dim]``."""

    def rows(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Row of each word, -1 where there is none."""


class MeanWordVectors:
    """Weighted means of word vectors.

    Args:
        source: Word vectors, of which those of the items' words are used; None trains some on the items' texts.
        model: Training where there is no source: ``ppmi`` (factorised counts), ``skip_gram``, ``cbow`` or ``glove``.
        width: Of the trained vectors.
        min_count: Trained words occur so often.
        window: Neighbours on either side.
        smoothing: ``a`` above; 0 weighs all words alike.
        seed: Of the training.
    """

    reads_ids, dim, whiten = False, None, 0.5

    def __init__(
        self,
        source: WordTable | None = None,
        *,
        model: Literal["ppmi", "skip_gram", "cbow", "glove"] = "ppmi",
        width: int = 200,
        min_count: int = 2,
        window: int = 5,
        smoothing: float = 1e-3,
        seed: int = 1,
    ) -> None:
        if min(width, min_count, window) < 1 or smoothing < 0:
            raise InputError(
                f"words: width is {width}, min_count {min_count}, window {window}, smoothing {smoothing}; needed are "
                "1, 1, 1 and 0 at least."
            )
        if source is not None and not (hasattr(source, "rows") and hasattr(source, "table")):
            raise InputError(
                f"the source of word vectors is a {type(source).__name__}; give nlp_tasks' WordVectors.load(path), or "
                "none to train some."
            )
        self.source, self.model, self.width, self.min_count = source, model, width, min_count
        self.window, self.smoothing, self.seed = window, smoothing, seed

    @property
    def can_encode(self) -> bool:
        """True: any text of known words has a vector."""
        return True

    def fit(self, texts: Sequence[str]) -> "MeanWordVectors":
        """Count the words, and look up or train their vectors.

        Raises:
            InputError: None of the words has a vector, or no two stand beside each other.
        """
        sentences = [words_of(text) for text in texts]
        every, counts = np.unique([word for words in sentences for word in words], return_counts=True)
        if self.source is None:
            rows = np.where(counts >= self.min_count, 0, -1)
        else:
            rows = self.source.rows(every.tolist())
        if not (rows >= 0).any():
            raise InputError(f"none of the {len(every):,} words of the items has a vector; is it the right language?")
        self._row = _numbered(every[rows >= 0].tolist())
        share = counts[rows >= 0] / counts.sum()
        weights = self.smoothing / (self.smoothing + share) if self.smoothing else np.ones(len(share))
        vectors = self._trained(sentences) if self.source is None else self.source.table[rows[rows >= 0]]
        self._vectors = (vectors * weights[:, None]).astype(np.float32)
        return self

    def _trained(self, sentences: list[list[str]]) -> Floats:
        from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig
        from recsys_bert.static_embeddings.fit import fit_vectors
        from recsys_bert.static_embeddings.glove import Glove
        from recsys_bert.static_embeddings.ppmi import ppmi_vectors
        from recsys_bert.static_embeddings.sequences import Sequences
        from recsys_bert.static_embeddings.word2vec import Word2Vec

        known = self._rows(sentences)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(words) for words in known])])
        sequences = Sequences(np.array([one for words in known for one in words], np.int32), offsets, len(self._row))
        if self.model == "ppmi":
            return ppmi_vectors(sequences, min(self.width, len(self._row)), window=self.window)
        common = {"dim": self.width, "window": self.window, "seed": self.seed}
        model: Any
        if self.model == "glove":
            model = Glove(sequences, GloveConfig(**common))
        else:
            model = Word2Vec(sequences, Word2VecConfig(model=self.model, epochs=20, **common))
        fit_vectors(model)
        return np.asarray(model.vectors)

    def _rows(self, sentences: list[list[str]]) -> list[list[int]]:
        """Rows of the known words of each sentence."""
        return [[self._row[word] for word in words if word in self._row] for words in sentences]

    def encode(self, texts: Sequence[str]) -> Floats:
        """``[n, width]``; zeros where no word is known."""
        known = self._rows([words_of(text) for text in texts])
        lengths = np.array([len(words) for words in known], np.int64)
        text, word = np.repeat(np.arange(len(texts)), lengths), [one for words in known for one in words]
        share = np.repeat(1 / np.maximum(lengths, 1), lengths)
        means = sparse.csr_array((share, (text, word)), shape=(len(texts), len(self._row))) @ self._vectors
        return np.asarray(means, np.float32)

    def state(self) -> State:
        """Words and their weighted vectors."""
        return {"words": list(self._row), "word_vectors": self._vectors}

    def restore(self, state: State) -> "MeanWordVectors":
        """Take up what ``state`` gave."""
        self._row, self._vectors = _numbered(state["words"]), np.asarray(state["word_vectors"])
        return self


def _numbered(words: Iterable[Any]) -> dict[str, int]:
    """Row of each word; made once, as it takes longer than to encode a text."""
    return {word: number for number, word in enumerate(words)}
