"""Measures of matching: against a threshold, and of finding a match among many texts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

_QUESTIONS = 256  # compared with all texts at a time


def pair_metrics(labels: NDArray[np.int64], scores: NDArray[Any], threshold: float | None) -> dict[str, Any]:
    """Measures of yes-or-no answers.

    Args:
        labels: 0 or 1, ``[n]``.
        scores: ``[n]``.
        threshold: Score from which on the answer is yes; None leaves out what needs one.

    Returns:
        ``accuracy``, ``f1``, ``precision``, ``recall`` of the matches, ``auc`` (absent where there is one class), and
        ``examples``.
    """
    found: dict[str, Any] = {"examples": len(labels)}
    if threshold is not None:
        said = scores >= threshold
        right, matches = int((said & (labels == 1)).sum()), int(labels.sum())
        found["accuracy"] = float((said == (labels == 1)).mean())
        found["f1"] = 2 * right / max(1, int(said.sum()) + matches)
        found["precision"], found["recall"] = right / max(1, int(said.sum())), right / max(1, matches)
    if 0 < labels.sum() < len(labels):
        found["auc"] = float(metrics.roc_auc_score(labels, scores))
    return found


def search_metrics(
    questions: NDArray[np.float32], ids: NDArray[np.int64], texts: NDArray[np.float32], text_ids: NDArray[np.int64]
) -> dict[str, float]:
    """How well vectors find the match of a question among all distinct texts; see ``search_ranks``.

    Returns:
        ``hit@1``, ``hit@10`` and ``mrr``, the mean of 1 / rank. Empty without questions.
    """
    if not len(questions):
        return {}
    rank = search_ranks(questions, ids, texts, text_ids)
    return {
        "hit@1": float((rank <= 1).mean()),
        "hit@10": float((rank <= 10).mean()),
        "mrr": float((1 / rank).mean()),
    }


def search_ranks(
    questions: NDArray[np.float32], ids: NDArray[np.int64], texts: NDArray[np.float32], text_ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rank of each question's match among all distinct texts, by inner product.

    Args:
        questions: ``[n, dim]``, at least one.
        ids: ``[n, 2]`` numbers of each question and of its match; a text that is the question itself is no answer.
        texts: ``[m, dim]``.
        text_ids: ``[m]`` their numbers.

    Returns:
        ``[n]`` from 1; of equally near texts, half count as nearer.
    """
    distinct, first = np.unique(text_ids, return_index=True)
    table, ranks = texts[first], []
    for start in range(0, len(questions), _QUESTIONS):
        part = slice(start, start + _QUESTIONS)
        scores = questions[part] @ table.T
        rows = np.arange(len(scores))
        own, match = np.searchsorted(distinct, ids[part, 0]), np.searchsorted(distinct, ids[part, 1])
        target = scores[rows, match][:, None]
        itself = np.zeros(scores.shape, bool)
        there = (own < len(distinct)) & (distinct[np.minimum(own, len(distinct) - 1)] == ids[part, 0])
        itself[rows[there], own[there]] = True
        itself[rows, match] = True  # neither the question nor the match itself is before the match
        nearer = ((scores > target) & ~itself).sum(axis=1) + 0.5 * ((scores == target) & ~itself).sum(axis=1)
        ranks.append(1 + nearer)
    return np.concatenate(ranks)
