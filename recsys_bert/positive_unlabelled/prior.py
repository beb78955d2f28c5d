"""Class priors from positive and unlabelled examples: Best Bin Estimation (https://arxiv.org/abs/2111.00980)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_bert.errors import InputError

_CONFIDENCE = 0.1  # δ of the paper
_SLACK = 1.01  # 1 + γ of the paper


def best_bin(positive: ArrayLike, unlabelled: ArrayLike) -> float:
    """Estimate the share of positives among the unlabelled from held-out scores (Best Bin Estimation).

    If all unlabelled examples above a threshold were positive, the ratio of the shares of unlabelled and of positive
    examples above it would be the prior; negatives make it larger. The ratio is taken at the threshold where it is
    smallest, plus a Dvoretzky-Kiefer-Wolfowitz confidence bound. It needs a threshold above which hardly anything is
    negative, but no calibrated classifier.

    Args:
        positive: Scores of labelled examples, a random sample of the positives; higher = likelier.
        unlabelled: Scores of unlabelled examples.

    Returns:
        The prior, in [0, 1].

    Raises:
        InputError: One of the two is empty.
    """
    labelled, rest = np.sort(np.asarray(positive, float)), np.sort(np.asarray(unlabelled, float))
    if not len(labelled) or not len(rest):
        raise InputError(f"a class prior cannot be estimated from {len(labelled)} labelled and {len(rest)} unlabelled.")
    thresholds = np.unique(labelled)
    above_labelled = 1 - np.searchsorted(labelled, thresholds) / len(labelled)
    above_rest = 1 - np.searchsorted(rest, thresholds) / len(rest)
    bound = sum(np.sqrt(np.log(4 / _CONFIDENCE) / (2 * n)) for n in (len(labelled), len(rest)))
    best = np.argmin((above_rest + _SLACK * bound) / above_labelled)
    return float(min(1.0, above_rest[best] / above_labelled[best]))


def class_prior(examples: Any, labelled: ArrayLike, classifier: Any = None, *, folds: int = 5, seed: int = 0) -> float:
    """Estimate the share of positives in all examples; the labelled ones must be a random sample of the positives.

    A classifier separates labelled from unlabelled examples; ``best_bin`` reads its cross-validated scores.

    Args:
        examples: Input of the classifier, ``[n, features]``.
        labelled: bool ``[n]``.
        classifier: A scikit-learn classifier with ``predict_proba``; None takes a logistic regression.
        folds: Cross-validation folds.
        seed: Seed of the folds.

    Returns:
        The prior, from the labelled share up to 1.

    Raises:
        InputError: Fewer labelled or unlabelled examples than folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    is_labelled: NDArray[np.bool_] = np.asarray(labelled).astype(bool)
    fewest = min(is_labelled.sum(), (~is_labelled).sum())
    if fewest < folds:
        raise InputError(
            f"{is_labelled.sum():,} of {len(is_labelled):,} examples are labelled; {folds} folds need at least "
            "that many labelled and that many unlabelled ones."
        )
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = LogisticRegression(max_iter=1000) if classifier is None else classifier
    scores = cross_val_predict(model, examples, is_labelled, cv=parts, method="predict_proba")[:, 1]
    share = float(is_labelled.mean())
    return share + (1 - share) * best_bin(scores[is_labelled], scores[~is_labelled])
