"""Strict entity metrics as in CoNLL-2003 and seqeval: both borders and the type must be right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.evaluation.text import by_class


def span_metrics(
    true: NDArray[np.int64], predicted: NDArray[np.int64], types: Sequence[str], sentences: int
) -> dict[str, Any]:
    """Precision, recall and F1 over sets of entities: duplicates count once.

    Args:
        true: ``[k, 4]``: sentence, first word, one past the last, type.
        predicted: The same, by a model.
        types: Their names.
        sentences: Number of sentences.

    Returns:
        ``f1``, ``precision`` and ``recall`` over all entities, ``macro_f1`` (mean over types that occur or are
        predicted), ``exact`` (share of sentences without an error), ``examples`` (sentences), ``classes`` (by type,
        where ``examples`` counts true entities; see ``by_class``).
    """
    true, predicted = np.unique(true, axis=0), np.unique(predicted, axis=0)
    both = _intersection(true, predicted)
    of_true, of_predicted, of_both = (np.bincount(part[:, 3], minlength=len(types)) for part in (true, predicted, both))
    n_true, n_predicted, n_both = len(true), len(predicted), len(both)
    classes = by_class(of_true, of_predicted, of_both, types)
    present = [one["f1"] for one, a, b in zip(classes, of_true, of_predicted, strict=True) if a or b]
    return {
        "f1": 2 * n_both / max(1, n_true + n_predicted),
        "precision": n_both / max(1, n_predicted),
        "recall": n_both / max(1, n_true),
        "macro_f1": float(np.mean(present)) if present else 0.0,
        "exact": float(exact(true, predicted, sentences).mean()) if sentences else 0.0,
        "examples": sentences,
        "classes": classes,
    }


def exact(true: NDArray[np.int64], predicted: NDArray[np.int64], sentences: int) -> NDArray[np.bool_]:
    """Sentences without an error, bool ``[sentences]``; see ``span_metrics``."""
    true, predicted = np.unique(true, axis=0), np.unique(predicted, axis=0)
    both, right = _intersection(true, predicted), np.ones(sentences, np.bool_)
    for rows in (true, predicted):
        right[_difference(rows, both)[:, 0]] = False
    return right


def level_metrics(
    true: NDArray[np.int64], predicted: NDArray[np.int64], types: Sequence[str], sentences: int
) -> dict[str, float]:
    """``outer_f1`` and ``inner_f1``: of entities within no longer one of their own side, and of nested ones."""
    split = [(rows, _is_inner(rows)) for rows in (np.unique(true, axis=0), np.unique(predicted, axis=0))]
    outer, inner = ([rows[level == is_inner] for rows, level in split] for is_inner in (False, True))
    return {
        "outer_f1": span_metrics(outer[0], outer[1], types, sentences)["f1"],
        "inner_f1": span_metrics(inner[0], inner[1], types, sentences)["f1"],
    }


def _is_inner(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for entities within a longer one of their sentence."""
    order = np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))  # an outer entity comes before its inner ones
    inner = np.zeros(len(rows), bool)
    outer_sentence, outer_start, outer_stop = -1, 0, 0
    for row in order.tolist():
        sentence, start, stop, _ = rows[row].tolist()
        if sentence != outer_sentence or stop > outer_stop:
            outer_sentence, outer_start, outer_stop = sentence, start, stop
        else:
            inner[row] = (start, stop) != (outer_start, outer_stop)
    return inner


def _intersection(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of both; each of the two has unique rows."""
    rows, counts = np.unique(np.concatenate([first, second]), axis=0, return_counts=True)
    return rows[counts == 2]


def _difference(rows: NDArray[np.int64], subset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are not in ``subset``."""
    every, counts = np.unique(np.concatenate([rows, subset]), axis=0, return_counts=True)
    return every[counts == 1]
