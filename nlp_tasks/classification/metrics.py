"""Measures of predicted labels: accuracy, precision, recall and F1 in all and by class, confusions, thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion(targets: Ints, predicted: Ints, n_classes: int) -> Ints:
    """``[classes, classes]``: examples of the true class (row) that were taken for the class (column)."""
    return np.bincount(targets * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def by_class(true: Ints, predicted: Ints, both: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class; a class that nobody has or that is never predicted has 0.

    Args:
        true: ``[classes]`` examples that have it.
        predicted: ``[classes]`` examples that it was predicted for.
        both: ``[classes]`` examples of which both hold.
        names: The classes.
    """
    precision, recall = both / np.maximum(predicted, 1), both / np.maximum(true, 1)
    f1 = 2 * both / np.maximum(true + predicted, 1)
    return [
        {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
        for name, p, r, f, n in zip(names, precision, recall, f1, true, strict=True)
    ]


def single_label_metrics(targets: Ints, probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Measures where every example has one class.

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
    found: dict[str, Any] = {
        "accuracy": float(np.trace(table) / len(targets)),
        "macro_f1": float(np.mean([one["f1"] for one in classes])),
        "log_loss": float(-np.log(np.maximum(picked, np.finfo(np.float64).tiny)).mean()),
        "examples": len(targets),
    }
    if len(names) == 2:
        found["f1"] = classes[1]["f1"]
        if 0 < targets.sum() < len(targets):
            found["auc"] = float(metrics.roc_auc_score(targets, probabilities[:, 1]))
    return found | {"classes": classes, "confusion": table.tolist()}


def multi_label_metrics(
    targets: Ints, probabilities: Floats, holds: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, Any]:
    """Measures where any number of labels holds.

    Args:
        targets: 0 or 1, ``[n, classes]``.
        probabilities: ``[n, classes]``.
        holds: Predictions, ``[n, classes]``.
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
    """Probabilities from which on labels hold, such that F1 on these examples is best.

    Args:
        targets: 0 or 1, ``[n, classes]``.
        probabilities: ``[n, classes]``.
        how: ``per_label``: each label's own; ``shared``: one for all, by F1 over all pairs of example and label;
            ``half``: 0.5. A label that does not occur here gets 0.5, of which nothing is known.

    Returns:
        ``[classes]``.
    """
    width = targets.shape[1]
    if how == "shared" and targets.any():
        return np.full(width, best_threshold(targets.reshape(-1), probabilities.reshape(-1), "f1"))
    chosen = np.full(width, 0.5)
    if how == "per_label":
        for label in np.flatnonzero(targets.any(axis=0)):
            chosen[label] = best_threshold(targets[:, label], probabilities[:, label], "f1")
    return chosen


def best_threshold(targets: Ints, scores: Floats, measure: str) -> float:
    """The score from which on to say yes, such that ``accuracy`` or ``f1`` is best.

    All cuts between two different scores are tried; of equally good ones the middle one is taken, and the threshold
    lies halfway between the scores on its two sides.

    Args:
        targets: 0 or 1, ``[n]``.
        scores: ``[n]``.
        measure: ``accuracy`` or ``f1`` of the ones.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, labels = scores[order], targets[order]
    said_yes = np.arange(len(labels) + 1)
    right_yes = np.concatenate([[0], np.cumsum(labels)])
    if measure == "f1":
        value = 2 * right_yes / np.maximum(said_yes + labels.sum(), 1)
    else:
        value = (right_yes + (len(labels) - labels.sum()) - (said_yes - right_yes)) / len(labels)
    allowed = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])  # equal scores are answered alike
    value = np.where(allowed, value, -1.0)
    best = np.flatnonzero(value == value.max())
    cut = int(best[len(best) // 2])
    if cut == len(ranked):
        return float(ranked[-1])
    above = np.nextafter(ranked[cut], np.inf)  # halfway between neighbouring numbers may be the lower one
    return float(above if cut == 0 else max(above, (ranked[cut - 1] + ranked[cut]) / 2))
