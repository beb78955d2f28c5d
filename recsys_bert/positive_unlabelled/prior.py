"""Class priors from positive and unlabelled examples: Best Bin Estimation (https://arxiv.org/abs/2111.00980)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_bert.errors import InputError

_CONFIDENCE = 0.1  # δ of the paper
_SLACK = 1.01  # 1 + γ of the paper


def best_bin(positive: ArrayLike, unlabelled: ArrayLike) -> float:
    """Share of positives among the unlabelled, from scores of examples that the scoring classifier was not fitted to.

    Above any threshold lies a share of the positives and a share of the unlabelled; were all of the latter positive,
    the ratio of the two would be the prior, and whatever is not makes it larger. The ratio is taken at the threshold
    where it is smallest, after what chance can do to both shares (Dvoretzky-Kiefer-Wolfowitz) is added to it. So it
    needs some threshold above which next to nothing is negative, and no calibrated classifier.

    Args:
        positive: Scores of labelled examples, drawn as positives are; the higher the likelier.
        unlabelled: Scores of unlabelled ones.

    Returns:
        The prior, in [0, 1].

    Raises:
        InputError: One of the two is empty.
    """
    own, rest = np.sort(np.asarray(positive, float)), np.sort(np.asarray(unlabelled, float))
    if not len(own) or not len(rest):
        raise InputError(f"a class prior cannot be estimated from {len(own)} labelled and {len(rest)} unlabelled.")
    thresholds = np.unique(own)
    above_own = 1 - np.searchsorted(own, thresholds) / len(own)
    above_rest = 1 - np.searchsorted(rest, thresholds) / len(rest)
    chance = sum(np.sqrt(np.log(4 / _CONFIDENCE) / (2 * n)) for n in (len(own), len(rest)))
    best = np.argmin((above_rest + _SLACK * chance) / above_own)
    return float(min(1.0, above_rest[best] / above_own[best]))


def class_prior(examples: Any, labelled: ArrayLike, classifier: Any = None, *, folds: int = 5, seed: int = 0) -> float:
    """Share of positives in all examples, where the labelled ones are a random part of them.

    A classifier learns to tell labelled from unlabelled; ``best_bin`` reads the scores of those that it has not seen.

    Args:
        examples: ``[n, features]``, as the classifier takes them.
        labelled: bool ``[n]``.
        classifier: A scikit-learn classifier with ``predict_proba``; None takes a logistic regression.
        folds: Parts that are held out, one after the other.
        seed: Of the parts.

    Returns:
        The prior, from the labelled share up to 1.

    Raises:
        InputError: Fewer labelled or unlabelled examples than folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    given: NDArray[np.bool_] = np.asarray(labelled).astype(bool)
    fewest = min(given.sum(), (~given).sum())
    if fewest < folds:
        raise InputError(
            f"{given.sum():,} of {len(given):,} examples are labelled; to hold out {folds} parts, that many at least "
            "must be labelled, and that many not."
        )
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = LogisticRegression(max_iter=1000) if classifier is None else classifier
    scores = cross_val_predict(model, examples, given, cv=parts, method="predict_proba")[:, 1]
    share = float(given.mean())
    return share + (1 - share) * best_bin(scores[given], scores[~given])
