"""Class priors, the share of words within entities of each type, estimated from dictionary matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.positive_unlabelled.prior import best_bin
from recsys_bert.progress import Progress

_WINDOW = 2  # context words on either side
_FEATURES = 1 << 18
_SPLITS = 3
_FEWEST = 20  # entries of a type; with fewer, the estimate is mostly chance
_MOST = 0.5  # no text consists of one type; what is larger shows a classifier that knows nothing


@dataclass(frozen=True)
class Prior:
    """Class prior of one type."""

    prior: float
    """Share of all words that lie within entities."""

    labelled: float
    """Share of all words that lie within matches."""

    source: str
    """``set``, ``estimated``, or the reason for neither: ``no match``, ``few entries``, ``not separable`` (no
    classifier separates its entities from other text); the prior is ``labelled`` then."""


def estimate_priors(
    sentences: Sequence[Sentence], types: Sequence[str], known: dict[str, float], *, seed: int = 0
) -> list[Prior]:
    """Estimate the class prior of every type.

    A classifier would memorise the entries of a dictionary. So a type's entries are split in two at random: a linear
    classifier on context words learns the matches of one half against all other words, and ``best_bin`` compares its
    scores of the other half's matches, unlabelled to it as the entities without an entry are, with its scores of all
    words outside the first half. That gives the prior of the rest; the first half's share is added. The smallest of
    several splits counts, since the estimate grows where the classifier fails to separate entities.

    This holds as far as the entries are a random part of all entities.

    Args:
        sentences: Their entities are matches.
        types: The types.
        known: Known priors by type.
        seed: Of the splits.

    Returns:
        One for each type; no less than the labelled share.
    """
    random, n_words = np.random.default_rng(seed), sum(map(len, sentences))
    features = None
    priors: list[Prior] = []
    with Progress("estimating class priors", len(types), "types") as progress:
        for kind in types:
            entry = entry_of_words(sentences, kind)
            entries, share = np.unique(entry[entry >= 0]), float((entry >= 0).sum() / n_words)
            if not len(entries):
                priors.append(Prior(share, share, "no match"))
            elif kind in known:
                priors.append(Prior(known[kind], share, "set"))
            elif len(entries) < _FEWEST:
                priors.append(Prior(share, share, "few entries"))
            else:
                features = _context_features(sentences) if features is None else features
                prior = min(_one_split(features, entry, entries, random) for _ in range(_SPLITS))
                if prior > _MOST:
                    priors.append(Prior(share, share, "not separable"))
                else:
                    priors.append(Prior(max(share, prior), share, "estimated"))
            progress.advance()
    return priors


def entry_of_words(sentences: Sequence[Sentence], kind: str) -> NDArray[np.int64]:
    """Number of the entry around each word of all sentences, from 0; -1 outside of entries of that type."""
    numbers: dict[str, int] = {}
    entry = np.full(sum(map(len, sentences)), -1)
    first = 0
    for sentence in sentences:
        for start, stop, span_type in sentence.levels[0]:
            if span_type == kind:
                a, b = sentence.characters(start, stop)
                entry[first + start : first + stop] = numbers.setdefault(sentence.text[a:b], len(numbers))
        first += len(sentence)
    return entry


def _one_split(
    features: Any, entry: NDArray[np.int64], entries: NDArray[np.int64], random: np.random.Generator
) -> float:
    """Prior of all words by one split of the entries: the mean over both halves as the labelled one."""
    from sklearn.linear_model import SGDClassifier

    shuffled = random.permutation(entries)
    priors = []
    for known in (shuffled[::2], shuffled[1::2]):
        is_known = np.isin(entry, known)
        model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=5, tol=None, random_state=0)
        scores = model.fit(features, is_known).decision_function(features)
        rest = best_bin(scores[(entry >= 0) & ~is_known], scores[~is_known])
        priors.append(is_known.mean() + (1 - is_known.mean()) * rest)
    return float(np.mean(priors))


def _context_features(sentences: Sequence[Sentence]) -> Any:
    """Context features of each word, words and bigrams by offset: sparse ``[words, features]``."""
    from sklearn.feature_extraction import FeatureHasher

    def rows() -> Any:
        for sentence in sentences:
            words = ["", *[""] * _WINDOW, *sentence.words(), *[""] * _WINDOW]
            for center in range(_WINDOW + 1, len(sentence) + _WINDOW + 1):
                context = words[center - _WINDOW : center + _WINDOW + 1]
                names = [f"{offset}={word}" for offset, word in enumerate(context)]
                yield [*names, *(f"{offset},{a},{b}" for offset, (a, b) in enumerate(pairwise(context)))]

    return FeatureHasher(_FEATURES, input_type="string", alternate_sign=False).transform(rows())
