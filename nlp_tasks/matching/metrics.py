"""Metrics of matching: of pairs against a threshold, and of retrieving a match among many texts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.evaluation.classification import auc

_QUERIES = 256  # compared with all texts at a time


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
