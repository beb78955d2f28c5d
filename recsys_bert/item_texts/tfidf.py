"""TF-IDF of words and pairs of words; of characters and pairs of them where a script has no blanks."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_bert.errors import InputError

_WITHOUT_BLANKS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # kana, Chinese characters
)
State = dict[str, NDArray[Any] | list[str]]
"""Arrays, and lists of text, that a way to vectors writes."""

_TOKENS = re.compile(rf"[{_WITHOUT_BLANKS}]+|[^\W_{_WITHOUT_BLANKS}]+")
_CHARACTERS = re.compile(rf"[{_WITHOUT_BLANKS}]")


def words_of(text: str) -> list[str]:
    """Words in small letters; each character is one in scripts without blanks."""
    tokens: list[str] = []
    for token in _TOKENS.findall(text.lower()):
        tokens += list(token) if _CHARACTERS.match(token) else [token]
    return tokens


def terms_of(text: str) -> Iterator[str]:
    """Words, and every two that follow one another."""
    words = words_of(text)
    yield from words
    yield from (f"{first} {second}" for first, second in pairwise(words))


class TfidfVectors:
    """Term frequency (1 + log) times inverse document frequency, rows of unit length (scikit-learn's TfidfVectorizer).

    Args:
        source: None; the texts are enough.
        min_items: A term counts if so many texts have it.
        max_terms: The most frequent terms, at most.
    """

    reads_ids, dim, whiten = False, 1024, 0.0

    def __init__(self, source: None = None, *, min_items: int = 2, max_terms: int = 100_000) -> None:
        if min_items < 1 or max_terms < 1:
            raise InputError(f"tfidf: min_items is {min_items}, max_terms {max_terms}; both are at least 1.")
        if source is not None:
            raise InputError("tfidf reads nothing but the texts; leave the source out.")
        self.min_items, self.max_terms = min_items, max_terms

    @property
    def can_encode(self) -> bool:
        """True: any text has a vector."""
        return True

    def fit(self, texts: Sequence[str]) -> "TfidfVectors":
        """Count the terms.

        Raises:
            InputError: No term is in ``min_items`` texts.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            analyzer=terms_of, sublinear_tf=True, min_df=min(self.min_items, len(texts)), max_features=self.max_terms
        )
        try:
            vectorizer.fit(texts)
        except ValueError as error:
            raise InputError(
                f"no word is in {self.min_items} of {len(texts):,} texts, so no two items are alike by TF-IDF. Use an "
                "encoder, or the option min_items 1."
            ) from error
        self._vectorizer = vectorizer
        return self

    def encode(self, texts: Sequence[str]) -> sparse.csr_array:
        """``[n, terms]``, float32."""
        return sparse.csr_array(self._vectorizer.transform(texts)).astype(np.float32)

    def state(self) -> State:
        """Terms and their inverse document frequencies."""
        return {"terms": self._vectorizer.get_feature_names_out().tolist(), "idf": self._vectorizer.idf_}

    def restore(self, state: State) -> "TfidfVectors":
        """Take up what ``state`` gave."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, vocabulary=state["terms"])
        self._vectorizer.idf_ = np.asarray(state["idf"])
        return self
