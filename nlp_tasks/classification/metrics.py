"""Metrics of predicted labels: accuracy, precision, recall and F1 overall and by class, confusion, thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from recsys_bert.evaluation.classification import auc

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion(targets: Ints, predicted: Ints, n_classes: int) -> Ints:
    """``[classes, classes]``: examples of the true class (row) predicted as the class (column)."""
    return np.bincount(targets * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def by_class(true: Ints, predicted: Ints, both: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class; 0 for a class that does not occur or is never predicted.

    Args:
        true: ``[classes]`` examples that have it.
        predicted: ``[classes]`` examples predicted as it.
        both: ``[classes]`` examples that are both.
        names: The classes.
    """
    precision, recall = both / np.maximum(predicted, 1), both / np.maximum(true, 1)
    f1 = 2 * both / np.maximum(true + predicted, 1)
    return [
        {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
        for name, p, r, f, n in zip(names, precision, recall, f1, true, strict=True)
    ]


def single_label_metrics(targets: Ints, probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Metrics of multiclass predictions: every example has one class.

    Args:
        targets: ``[n]`` classes.
        probabilities: ``[n, classes]``.
        names: The classes.

    Returns:
        ``accuracy``, ``macro_f1`` (the mean over classes), ``log_loss`` in nats, ``examples``; for two classes ``f1``
        of the second one and ``auc`` (absent where only one occurs); ``classes`` (see ``by_class``) and ``confusion``.
    """
    table = confusion(targets, probabilities.argmax(axis=1), len(names))
    classes = by_class(table.sum(axis=1), table.sum(axis=0), np.diag(table), names)
    picked = probabilities[np.arange(len(targets)), targets]
    values: dict[str, Any] = {
        "accuracy": float(np.trace(table) / len(targets)),
        "macro_f1": float(np.mean([one["f1"] for one in classes])),
        "log_loss": float(-np.log(np.maximum(picked, np.finfo(np.float64).tiny)).mean()),
        "examples": len(targets),
    }
    if len(names) == 2:
        values["f1"] = classes[1]["f1"]
        if 0 < targets.sum() < len(targets):
            values["auc"] = auc(targets, probabilities[:, 1])
    return values | {"classes": classes, "confusion": table.tolist()}


def multi_label_metrics(
    targets: Ints, probabilities: Floats, holds: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, Any]:
    """Metrics of multilabel predictions: an example has any number of labels.

    Args:
        targets: 0 or 1, ``[n, classes]``.
        probabilities: ``[n, classes]``.
        holds: Predicted labels, ``[n, classes]``.
        names: The classes.

    Returns:
        ``micro_f1`` (over all pairs of example and label), ``macro_f1`` (the mean over labels), ``exact`` (share of
        examples with all labels right), ``average_precision`` (mean over labels that occur), ``examples``, ``classes``.
    """
    both = (targets * holds).sum(axis=0)
    classes = by_class(targets.sum(axis=0), holds.sum(axis=0), both, names)
    occur = np.flatnonzero(targets.any(axis=0))
    precision = [metrics.average_precision_score(targets[:, c], probabilities[:, c]) for c in occur]
    return {
        "micro_f1": float(2 * both.sum() / max(1, targets.sum() + holds.sum())),
        "macro_f1": float(np.mean([one["f1"] for one in classes])),
        "exact": float((targets == holds).all(axis=1).mean()),
        "average_precision": float(np.mean(precision)) if precision else 0.0,
        "examples": len(targets),
        "classes": classes,
    }


def best_thresholds(targets: Ints, probabilities: Floats, how: str) -> Floats:
    """Probability thresholds of labels that maximise F1 on these examples.

    Args:
        targets: 0 or 1, ``[n, classes]``.
        probabilities: ``[n, classes]``.
        how: ``per_label``: each label's own; ``shared``: one for all, by F1 over all pairs of example and label;
            ``half``: 0.5. A label that does not occur here gets 0.5.

    Returns:
        ``[classes]``.
    """
    width = targets.shape[1]
    if how == "shared" and targets.any():
        return np.full(width, best_threshold(targets.reshape(-1), probabilities.reshape(-1), "f1"))
    thresholds = np.full(width, 0.5)
    if how == "per_label":
        for label in np.flatnonzero(targets.any(axis=0)):
            thresholds[label] = best_threshold(targets[:, label], probabilities[:, label], "f1")
    return thresholds


def best_threshold(targets: Ints, scores: Floats, metric: str) -> float:
    """Score threshold that maximises ``accuracy`` or ``f1``.

    All cuts between two different scores are tried; of equally good ones the middle one is taken, and the threshold
    lies halfway between the scores on its two sides.

    Args:
        targets: 0 or 1, ``[n]``.
        scores: ``[n]``.
        metric: ``accuracy`` or ``f1`` of the ones.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, labels = scores[order], targets[order]
    positives = np.arange(len(labels) + 1)
    true_positives = np.concatenate([[0], np.cumsum(labels)])
    if metric == "f1":
        value = 2 * true_positives / np.maximum(positives + labels.sum(), 1)
    else:
        value = (true_positives + (len(labels) - labels.sum()) - (positives - true_positives)) / len(labels)
    allowed = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])  # equal scores are predicted alike
    value = np.where(allowed, value, -1.0)
    best = np.flatnonzero(value == value.max())
    cut = int(best[len(best) // 2])
    if cut == len(ranked):
        return float(ranked[-1])
    above = np.nextafter(ranked[cut], np.inf)  # halfway between neighbouring numbers may be the lower one
    return float(above if cut == 0 else max(above, (ranked[cut - 1] + ranked[cut]) / 2))
