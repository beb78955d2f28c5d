"""Metrics of text tasks: labels (overall and by class), thresholds, pairs, and retrieval of a match."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from recsys_bert.evaluation.classification import auc

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_QUERIES = 256  # compared with all texts at a time


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


def pair_metrics(labels: NDArray[np.int64], scores: NDArray[Any], threshold: float | None) -> dict[str, Any]:
    """Metrics of binary answers.

    Args:
        labels: 0 or 1, ``[n]``.
        scores: ``[n]``.
        threshold: Score from which on the answer is yes; None leaves out what needs one.

    Returns:
        ``accuracy``, ``f1``, ``precision``, ``recall`` of the matches, ``auc`` (absent where there is one class), and
        ``examples``.
    """
    values: dict[str, Any] = {"examples": len(labels)}
    if threshold is not None:
        predicted = scores >= threshold
        right, matches = int((predicted & (labels == 1)).sum()), int(labels.sum())
        n_predicted = int(predicted.sum())
        values["accuracy"] = float((predicted == (labels == 1)).mean())
        values["f1"] = 2 * right / max(1, n_predicted + matches)
        values["precision"], values["recall"] = right / max(1, n_predicted), right / max(1, matches)
    if 0 < labels.sum() < len(labels):
        values["auc"] = auc(labels, scores)
    return values


def search_metrics(
    queries: NDArray[np.float32], ids: NDArray[np.int64], texts: NDArray[np.float32], text_ids: NDArray[np.int64]
) -> dict[str, float]:
    """Retrieval metrics of a query's match among all distinct texts; see ``search_ranks``.

    Returns:
        ``hit@1``, ``hit@10`` and ``mrr``, the mean of 1 / rank. Empty without queries.
    """
    if not len(queries):
        return {}
    rank = search_ranks(queries, ids, texts, text_ids)
    return {
        "hit@1": float((rank <= 1).mean()),
        "hit@10": float((rank <= 10).mean()),
        "mrr": float((1 / rank).mean()),
    }


def search_ranks(
    queries: NDArray[np.float32], ids: NDArray[np.int64], texts: NDArray[np.float32], text_ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rank of each query's match among all distinct texts, by inner product.

    Args:
        queries: ``[n, dim]``, at least one.
        ids: ``[n, 2]`` ids of each query and of its match; the query's own text is no answer.
        texts: ``[m, dim]``.
        text_ids: ``[m]`` their ids.

    Returns:
        ``[n]`` from 1; of equally near texts, half count as nearer.
    """
    distinct, first = np.unique(text_ids, return_index=True)
    table, ranks = texts[first], []
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        scores = queries[part] @ table.T
        rows = np.arange(len(scores))
        own, match = np.searchsorted(distinct, ids[part, 0]), np.searchsorted(distinct, ids[part, 1])
        target = scores[rows, match][:, None]
        itself = np.zeros(scores.shape, bool)
        present = (own < len(distinct)) & (distinct[np.minimum(own, len(distinct) - 1)] == ids[part, 0])
        itself[rows[present], own[present]] = True
        itself[rows, match] = True  # neither the query nor the match itself is before the match
        nearer = ((scores > target) & ~itself).sum(axis=1) + 0.5 * ((scores == target) & ~itself).sum(axis=1)
        ranks.append(1 + nearer)
    return np.concatenate(ranks)


def similarity_metrics(grades: Floats, similarity: Floats) -> dict[str, float]:
    """Correlation of similarities with the grades of pairs, as STS is evaluated.

    Args:
        grades: ``[n]``.
        similarity: ``[n]``.

    Returns:
        ``spearman`` (equal values have their mean rank) and ``pearson``, 0 where either side is constant; ``auc`` where
        there are two grades.
    """
    values = {"spearman": _correlation(_mean_ranks(grades), _mean_ranks(similarity))}
    values["pearson"] = _correlation(grades, similarity)
    levels = np.unique(grades)
    if len(levels) == 2:
        values["auc"] = auc((grades == levels[1]).astype(np.int64), similarity)
    return values


def _mean_ranks(values: Floats) -> Floats:
    """Rank of each value, ``[n]``; equal values have the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _correlation(x: Floats, y: Floats) -> float:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else 0.0
