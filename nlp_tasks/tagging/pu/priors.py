"""How many units lie within entities of each type, estimated from dictionary matches alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.positive_unlabelled.prior import best_bin
from recsys_bert.progress import Progress

_WINDOW = 2  # units to either side that tell what a unit is
_FEATURES = 1 << 18
_CUTS = 3
_FEWEST = 20  # entries of a type; with fewer, the estimate is mostly chance
_MOST = 0.5  # no text consists of one type; what is larger shows a classifier that knows nothing


@dataclass(frozen=True)
class Prior:
    """Share of units of one type."""

    prior: float
    """Share of all units that lie within entities."""

    labelled: float
    """Share of all units that lie within matches."""

    how: str
    """``given``, ``estimated``, or why neither: ``no match``, ``few entries``, ``not told apart`` (no classifier sets
    its entities apart from other text); it is ``labelled`` then."""


def estimate_priors(
    sentences: Sequence[Sentence], types: Sequence[str], given: dict[str, float], *, seed: int = 0
) -> list[Prior]:
    """Class prior of every type.

    The entries of a dictionary cannot be told from text by their letters without knowing them by heart. So a type's
    entries are cut in two at random: a linear classifier on the units around learns the matches of one half against all
    other units, and ``best_bin`` compares how it scores the matches of the other half, which it took for others as it
    did the entities that no entry names, with how it scores all units outside the first half. What is estimated is that
    rest's prior; the first half's share is added. Of several cuts the smallest is taken, for where the classifier fails
    to set entities apart, the estimate grows.

    This holds as far as the entries are a random part of all entities.

    Args:
        sentences: Their entities are matches.
        types: The types.
        given: Priors that are known, by type.
        seed: Of the cuts.

    Returns:
        One for each type; no less than the labelled share.
    """
    random, n_units = np.random.default_rng(seed), sum(map(len, sentences))
    features = None
    found: list[Prior] = []
    with Progress("estimating class priors", len(types), "types") as progress:
        for kind in types:
            entry = entry_of_units(sentences, kind)
            entries, share = np.unique(entry[entry >= 0]), float((entry >= 0).sum() / n_units)
            if not len(entries):
                found.append(Prior(share, share, "no match"))
            elif kind in given:
                found.append(Prior(given[kind], share, "given"))
            elif len(entries) < _FEWEST:
                found.append(Prior(share, share, "few entries"))
            else:
                features = _around(sentences) if features is None else features
                prior = min(_one_cut(features, entry, entries, random) for _ in range(_CUTS))
                if prior > _MOST:
                    found.append(Prior(share, share, "not told apart"))
                else:
                    found.append(Prior(max(share, prior), share, "estimated"))
            progress.advance()
    return found


def entry_of_units(sentences: Sequence[Sentence], kind: str) -> NDArray[np.int64]:
    """Which entry a unit of any sentence lies within, as a number from 0; -1 where it lies in none of that type."""
    numbers: dict[str, int] = {}
    found = np.full(sum(map(len, sentences)), -1)
    first = 0
    for sentence in sentences:
        for start, stop, own in sentence.levels[0]:
            if own == kind:
                a, b = sentence.characters(start, stop)
                found[first + start : first + stop] = numbers.setdefault(sentence.text[a:b], len(numbers))
        first += len(sentence)
    return found


def _one_cut(features: Any, entry: NDArray[np.int64], entries: NDArray[np.int64], random: np.random.Generator) -> float:
    """Prior of all units by one cut of the entries: the mean over both halves as the known one."""
    from sklearn.linear_model import SGDClassifier

    shuffled = random.permutation(entries)
    found = []
    for known in (shuffled[::2], shuffled[1::2]):
        is_known = np.isin(entry, known)
        model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=5, tol=None, random_state=0)
        scores = model.fit(features, is_known).decision_function(features)
        rest = best_bin(scores[(entry >= 0) & ~is_known], scores[~is_known])
        found.append(is_known.mean() + (1 - is_known.mean()) * rest)
    return float(np.mean(found))


def _around(sentences: Sequence[Sentence]) -> Any:
    """Units around each unit and the pairs with its neighbours, as a sparse matrix ``[units, features]``."""
    from sklearn.feature_extraction import FeatureHasher

    def rows() -> Any:
        for sentence in sentences:
            words = ["", *[""] * _WINDOW, *sentence.words(), *[""] * _WINDOW]
            for place in range(_WINDOW + 1, len(sentence) + _WINDOW + 1):
                near = words[place - _WINDOW : place + _WINDOW + 1]
                names = [f"{at}={word}" for at, word in enumerate(near)]
                yield [*names, *(f"{at},{a},{b}" for at, (a, b) in enumerate(pairwise(near)))]

    return FeatureHasher(_FEATURES, input_type="string", alternate_sign=False).transform(rows())
