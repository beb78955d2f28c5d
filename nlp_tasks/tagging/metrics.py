"""Strict measures of found entities: right only where first unit, last unit and type all are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.classification.metrics import by_class


def span_metrics(
    true: NDArray[np.int64], found: NDArray[np.int64], types: Sequence[str], sentences: int
) -> dict[str, Any]:
    """Count entities as sets: each counts once, and order does not matter.

    Args:
        true: ``[k, 4]``: sentence, first unit, one past the last, type.
        found: The same, as a model found them.
        types: Their names.
        sentences: How many there are.

    Returns:
        ``f1``, ``precision`` and ``recall`` over all entities, ``macro_f1`` (the mean over types that occur or are
        found), ``exact`` (share of sentences with nothing missing and nothing too much), ``examples`` (sentences),
        ``classes`` (by type, where ``examples`` counts true entities; see ``by_class``).
    """
    true, found = np.unique(true, axis=0), np.unique(found, axis=0)
    both = _both(true, found)
    of_true, of_found, of_both = (np.bincount(part[:, 3], minlength=len(types)) for part in (true, found, both))
    n_true, n_found, n_both = len(true), len(found), len(both)
    classes = by_class(of_true, of_found, of_both, types)
    there = [one["f1"] for one, a, b in zip(classes, of_true, of_found, strict=True) if a or b]
    return {
        "f1": 2 * n_both / max(1, n_true + n_found),
        "precision": n_both / max(1, n_found),
        "recall": n_both / max(1, n_true),
        "macro_f1": float(np.mean(there)) if there else 0.0,
        "exact": float(exact(true, found, sentences).mean()) if sentences else 0.0,
        "examples": sentences,
        "classes": classes,
    }


def exact(true: NDArray[np.int64], found: NDArray[np.int64], sentences: int) -> NDArray[np.bool_]:
    """``[sentences]``: whether nothing is missing and nothing too much; see ``span_metrics``."""
    true, found = np.unique(true, axis=0), np.unique(found, axis=0)
    both, right = _both(true, found), np.ones(sentences, np.bool_)
    for rows in (true, found):
        right[_rest(rows, both)[:, 0]] = False
    return right


def level_metrics(
    true: NDArray[np.int64], found: NDArray[np.int64], types: Sequence[str], sentences: int
) -> dict[str, float]:
    """``outer_f1`` and ``inner_f1``: of entities that lie within no longer one of their own side, and of the others."""
    split = [(rows, _inner(rows)) for rows in (np.unique(true, axis=0), np.unique(found, axis=0))]
    outer, inner = ([rows[level == is_inner] for rows, level in split] for is_inner in (False, True))
    return {
        "outer_f1": span_metrics(outer[0], outer[1], types, sentences)["f1"],
        "inner_f1": span_metrics(inner[0], inner[1], types, sentences)["f1"],
    }


def _inner(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each entity lies within a longer one of its sentence."""
    order = np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))  # one that holds another comes before it
    found = np.zeros(len(rows), bool)
    sentence, furthest, begins = -1, 0, 0
    for row in order.tolist():
        own, start, stop, _ = rows[row].tolist()
        if own != sentence or stop > furthest:
            sentence, furthest, begins = own, stop, start
        else:
            found[row] = (start, stop) != (begins, furthest)
    return found


def _both(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that both have; in each of them every row is there once."""
    rows, counts = np.unique(np.concatenate([one, other]), axis=0, return_counts=True)
    return rows[counts == 2]


def _rest(rows: NDArray[np.int64], without: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the first that are not in the second, which is a part of it."""
    found, counts = np.unique(np.concatenate([rows, without]), axis=0, return_counts=True)
    return found[counts == 1]
