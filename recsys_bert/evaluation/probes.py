"""Linear probes (https://arxiv.org/abs/1610.01644): how well a linear model reads a label from each layer's states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

MOST_CLASSES = 20
"""Classes that are told apart; the rarer ones are left out and counted."""

_MOST_ROWS = 4_000


def probe_layers(
    states: Sequence[NDArray[np.floating[Any]]], labels: NDArray[Any], groups: NDArray[Any], seed: int = 0
) -> dict[str, Any]:
    """Train a logistic regression on each layer's states of half of the groups; test it on the other half.

    Args:
        states: ``[n, dim]`` of each layer.
        labels: ``[n]``.
        groups: ``[n]``: rows of one group, as a user, are all trained on or all tested on.
        seed: Of the split, and of the rows where they are many.

    Returns:
        ``accuracy`` of each layer, ``majority`` (accuracy of the commonest class), ``shuffled`` (accuracy of a probe
        whose training labels are shuffled, last layer), ``classes``, ``rows``, ``left_out``; accuracies are None where
        fewer than two classes or groups are left.
    """
    random = np.random.default_rng(seed)
    kinds, counts = np.unique(labels, return_counts=True)
    common = kinds[np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
    rows = np.flatnonzero(np.isin(labels, common))
    left_out = len(labels) - len(rows)
    if len(rows) > _MOST_ROWS:
        rows = np.sort(random.choice(rows, _MOST_ROWS, replace=False))
    labels, groups = labels[rows], groups[rows]
    members = random.permutation(np.unique(groups))
    train = np.isin(groups, members[: len(members) // 2])
    result: dict[str, Any] = {"classes": len(common), "rows": len(rows), "left_out": left_out}
    if len(np.unique(labels[train])) < 2 or not (~train).any():
        return result | {"accuracy": [None] * len(states), "majority": None, "shuffled": None}
    values, n_train = np.unique(labels[train], return_counts=True)
    accuracy = [_accuracy(state[rows], labels, train) for state in states]
    mixed = labels.copy()
    mixed[train] = random.permutation(labels[train])
    majority = float((labels[~train] == values[n_train.argmax()]).mean())
    return result | {
        "accuracy": accuracy,
        "majority": majority,
        "shuffled": _accuracy(states[-1][rows], mixed, train),
    }


def _accuracy(state: NDArray[np.floating[Any]], labels: NDArray[Any], train: NDArray[np.bool_]) -> float:
    scaler = StandardScaler().fit(state[train])
    probe = LogisticRegression(max_iter=300, tol=1e-3).fit(scaler.transform(state[train]), labels[train])
    return float(probe.score(scaler.transform(state[~train]), labels[~train]))
