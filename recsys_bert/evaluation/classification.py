"""Metrics of predicted probabilities: AUC, GAUC, log loss and calibration."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class GroupAuc:
    """AUC inside each user's impressions, averaged with impressions as weights, and the users left out."""

    value: float | None
    """GAUC over users with both classes; None where there is no such user."""
    users: int
    """Users with both classes."""
    impressions: int
    """Their impressions."""
    one_class_users: int
    """Users left out because all their labels are equal."""
    one_class_impressions: int
    """The impressions left out with them."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Reliability curve and expected calibration error; one entry a bin that is not empty."""

    error: float
    """Mean |predicted − observed| over bins, weighted by impressions."""
    predicted: list[float]
    """Mean predicted probability."""
    observed: list[float]
    """Share of clicks."""
    count: list[int]
    """Impressions."""


def auc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the ROC curve over all impressions (scikit-learn's).

    Args:
        labels: ``[n]``, 0 or 1.
        scores: ``[n]``, higher = more likely a click; logits do as well as probabilities.

    Raises:
        InputError: Only one class, other labels than 0 and 1, scores that are not finite, lengths that differ.
    """
    labels, scores = _checked(labels, scores)
    _both_classes(labels)
    return float(metrics.roc_auc_score(labels, scores))


def auc_placements(labels: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """One value an impression whose mean is the AUC, for paired tests of two models.

    Of a click the share of non-clicks that score lower, of a non-click that of clicks that score higher, ties half:
    the placement values of DeLong et al. 1988 (https://doi.org/10.2307/2531595).

    Args:
        labels: ``[n]``, 0 or 1.
        scores: ``[n]``.

    Returns:
        ``[n]`` in [0, 1].

    Raises:
        InputError: As ``auc``.
    """
    labels, scores = _checked(labels, scores)
    _both_classes(labels)
    clicks, others = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    below = (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (2 * len(others))
    above = 1 - (np.searchsorted(clicks, scores, "left") + np.searchsorted(clicks, scores, "right")) / (2 * len(clicks))
    return np.where(labels == 1, below, above)


def gauc(labels: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any]) -> GroupAuc:
    """AUC per user, weighted by impressions (Zhu et al. 2017, https://arxiv.org/abs/1703.02091, section 5.1).

    One sort for all users: AUC is the rank sum of a user's clicks, ties taking their mean rank (Mann-Whitney U).

    Args:
        labels: ``[n]``, 0 or 1.
        scores: ``[n]``.
        groups: ``[n]`` user of each impression, anything sortable.

    Raises:
        InputError: As ``auc``, but users with one class are counted instead of refused.
    """
    labels, scores = _checked(labels, scores)
    groups = np.asarray(groups)
    if groups.shape != labels.shape:
        raise InputError(f"{len(labels)} labels came with {len(groups)} users; each impression has one user.")
    user = np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((scores, user))
    user, scores, labels = user[order], scores[order], labels[order]
    size = np.bincount(user)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    new = np.ones(len(user), dtype=bool)
    new[1:] = (user[1:] != user[:-1]) | (scores[1:] != scores[:-1])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(user)) - 1
    rank = ((first + last) / 2.0)[np.cumsum(new) - 1] - start[user] + 1.0  # mean rank of equal scores, from 1
    clicks = np.bincount(user, weights=labels)
    rank_sum = np.bincount(user, weights=rank * labels)
    pairs = clicks * (size - clicks)
    both = pairs > 0
    areas = (rank_sum - clicks * (clicks + 1) / 2.0)[both] / pairs[both]
    return GroupAuc(
        value=float(np.average(areas, weights=size[both])) if both.any() else None,
        users=int(both.sum()),
        impressions=int(size[both].sum()),
        one_class_users=int((~both).sum()),
        one_class_impressions=int(size[~both].sum()),
    )


def log_loss(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Mean negative log-likelihood in nats (scikit-learn's, which keeps probabilities off 0 and 1 by float64's ε).

    Raises:
        InputError: As ``auc`` (but one class is fine), or a probability outside [0, 1].
    """
    labels, probabilities = _checked(labels, probabilities, probability=True)
    return float(metrics.log_loss(labels, probabilities, labels=[0, 1]))


def calibration(
    labels: NDArray[Any], probabilities: NDArray[Any], n_bins: int = 10, equal_mass: bool = True
) -> Calibration:
    """Expected calibration error and the reliability curve behind it (Guo et al. 2017, arXiv:1706.04599).

    Args:
        labels: ``[n]``, 0 or 1.
        probabilities: ``[n]`` in [0, 1].
        n_bins: Bins; those that stay empty are left out.
        equal_mass: Bins of about equally many impressions, so that the narrow range of click rates fills all of
            them; False for the paper's bins of equal width. Equal probabilities always share a bin.

    Raises:
        InputError: As ``log_loss``, or ``n_bins`` < 1.
    """
    labels, probabilities = _checked(labels, probabilities, probability=True)
    if n_bins < 1:
        raise InputError(f"n_bins = {n_bins}; calibration needs at least 1 bin.")
    borders = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    if equal_mass:
        borders = np.quantile(probabilities, borders)
    bins = np.searchsorted(borders, probabilities, side="right")
    count = np.bincount(bins, minlength=n_bins)
    full = count > 0
    predicted = np.bincount(bins, weights=probabilities, minlength=n_bins)[full] / count[full]
    observed = np.bincount(bins, weights=labels, minlength=n_bins)[full] / count[full]
    return Calibration(
        error=float(np.average(np.abs(predicted - observed), weights=count[full])),
        predicted=predicted.tolist(),
        observed=observed.tolist(),
        count=count[full].tolist(),
    )


def classification_metrics(
    labels: NDArray[Any], probabilities: NDArray[Any], groups: NDArray[Any] | None = None, n_bins: int = 10
) -> dict[str, float]:
    """All metrics of this file as one flat dict, for metrics files and tables.

    Args:
        labels: ``[n]``, 0 or 1.
        probabilities: ``[n]`` in [0, 1].
        groups: User of each impression as a number, ``[n]``; below 0 if unknown, which GAUC leaves out.
        n_bins: Of ``calibration``.

    Returns:
        ``auc``, ``log_loss``, ``calibration_error``, ``impressions``, ``click_rate``; with ``groups`` also
        ``impressions_without_user`` and, where any has one, ``gauc`` (absent where no user has both classes),
        ``gauc_users``, ``one_class_users`` and ``one_class_impressions``.

    Raises:
        InputError: As ``auc``.
    """
    values = {
        "auc": auc(labels, probabilities),
        "log_loss": log_loss(labels, probabilities),
        "calibration_error": calibration(labels, probabilities, n_bins).error,
        "impressions": float(len(labels)),
        "click_rate": float(np.mean(labels)),
    }
    if groups is not None:
        known = groups >= 0
        values["impressions_without_user"] = float((~known).sum())
    if groups is not None and known.any():
        inside = gauc(labels[known], probabilities[known], groups[known])
        if inside.value is not None:
            values["gauc"] = inside.value
        values["gauc_users"] = float(inside.users)
        values["one_class_users"] = float(inside.one_class_users)
        values["one_class_impressions"] = float(inside.one_class_impressions)
    return values


def _checked(
    labels: NDArray[Any], scores: NDArray[Any], *, probability: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Both as flat arrays.

    Raises:
        InputError: Shapes, labels or scores are wrong.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise InputError(f"labels have shape {labels.shape} and scores {scores.shape}; expected two equal [n].")
    if not len(labels):
        raise InputError("there are no impressions to score; the split is empty.")
    if not np.isin(labels, (0, 1)).all():
        odd = np.unique(labels[~np.isin(labels, (0, 1))])[:5].tolist()
        raise InputError(f"labels must be 0 or 1, got {odd}.")
    bad = int((~np.isfinite(scores)).sum())
    if bad:
        raise InputError(f"{bad} of {len(scores)} scores are NaN or infinite; the model has diverged.")
    if probability and (scores.min() < 0 or scores.max() > 1):
        raise InputError(f"probabilities must be in [0, 1], got {scores.min():g}..{scores.max():g}; apply a sigmoid.")
    return labels.astype(np.int64), scores


def _both_classes(labels: NDArray[np.int64]) -> None:
    clicks = int(labels.sum())
    if clicks in (0, len(labels)):
        kind = "clicks" if clicks else "non-clicks"
        raise InputError(
            f"all {len(labels)} labels are {kind}; AUC needs both classes. Use a longer split or keep the other class."
        )
