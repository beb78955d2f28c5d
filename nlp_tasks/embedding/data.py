"""Training data of sentence vectors: texts, pairs and grades as tables, and the rows of each loss."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.embedding.config import EmbeddingConfig
from nlp_tasks.examples import Table, table_of
from recsys_bert.errors import InputError

Texts = Iterable[str]
INFERENCE = {"contradiction": 0.0, "neutral": 1.0, "entailment": 2.0}
"""Grades of the classes of natural language inference."""

FIRST, SECOND, NEGATIVE = "first", "second", "negative"
"""Columns of the tables."""

_WORDS = {**INFERENCE, "true": 1.0, "false": 0.0}
_UNDECIDED = "-"  # gold label of a pair whose annotators disagreed, in SNLI and OCNLI


@dataclass(frozen=True)
class Rows:
    """Texts of each training example side by side, and numbers that belong to it."""

    texts: list[str]
    """``[examples * width]``."""

    width: int
    """Texts of an example: 1, 2 (a pair) or 3 (with a hard negative)."""

    grades: NDArray[np.float32]
    """``[examples]``; 1 where there are none."""

    counts: dict[str, int] = field(default_factory=dict)
    """Texts and pairs left out, and negatives drawn at random."""


def pair_table(first: Texts, second: Texts, *scores_and_name: Any) -> Table:
    """Table of pairs; the last arguments are scores, if there are any, and the name of the part."""
    *scores, name = scores_and_name
    return embedding_table(first, second, scores[0] if scores else None, None, name)


def embedding_table(
    texts: Texts, second: Texts | None, scores: Iterable[Any] | None, negatives: Texts | None, name: str
) -> Table:
    """Table of texts, pairs, or pairs with a hard negative.

    Raises:
        InputError: Scores or negatives without second texts; see ``table_of``.
    """
    columns = {FIRST: texts, SECOND: second, NEGATIVE: negatives}
    if second is None and (scores is not None or negatives is not None):
        raise InputError("scores and negatives belong to pairs; give second texts too.")
    if isinstance(scores, str | bytes):
        raise InputError("scores is a single string; give a list with the score of each pair.")
    labels = None if scores is None else [_written(score) for score in scores]
    return table_of({column: values for column, values in columns.items() if values is not None}, labels, name)


def _written(grade: Any) -> str:
    """Text of a grade as a file has it."""
    value = grade.item() if isinstance(grade, np.generic) else grade
    return str(value).lower() if isinstance(value, bool) else str(value)


def grade_of(label: str) -> float | None:
    """Grade of a label: a number, a truth value or a class of inference; None of any other."""
    if label.strip().lower() in _WORDS:
        return _WORDS[label.strip().lower()]
    try:
        return number if isfinite(number := float(label)) else None
    except ValueError:
        return None


def graded(table: Table) -> Table:
    """Leave out pairs without a label, counted; refuse or drop those whose label is no grade.

    Raises:
        InputError: There are such labels and ``bad_rows`` is ``raise``, or nothing is left.
    """
    if table.labels is None:
        return table
    undecided = [label == _UNDECIDED for (label,) in table.labels]
    if any(undecided):
        counted = {**table.left_out, "without a label (-)": sum(undecided)}
        table = table.take([row for row, bare in enumerate(undecided) if not bare])
        table = replace(table, left_out=counted)
    reasons = [
        "" if grade_of(label) is not None else f"label {label!r} is neither a number nor {', '.join(INFERENCE)}"
        for (label,) in table.labels or []
    ]
    return table.without(reasons)


def grades_of(table: Table) -> NDArray[np.float64] | None:
    """Grades ``[n]`` of a table that ``graded`` returned; None where there are no labels."""
    if table.labels is None:
        return None
    return np.array([grade_of(label) for (label,) in table.labels], np.float64)


def pair_texts(table: Table) -> list[str]:
    """First and second texts of pairs, side by side."""
    return [text for pair in zip(table.texts[FIRST], table.texts[SECOND], strict=True) for text in pair]


def text_rows(table: Table) -> Rows:
    """Distinct texts of all columns, for SimCSE: two copies of a text would be each other's negatives."""
    texts = [text for column in table.texts.values() for text in column]
    distinct = list(dict.fromkeys(texts))
    counts = {"repeated texts read once": len(texts) - len(distinct)} if len(texts) > len(distinct) else {}
    if len(distinct) < 2:
        raise InputError("the training texts are all the same; simcse needs at least two different ones.")
    return Rows(distinct, 1, np.ones(len(distinct), np.float32), counts)


def graded_rows(table: Table, task: EmbeddingConfig) -> Rows:
    """Pairs with grades; for the loss ``cosine`` in [0, 1].

    Raises:
        InputError: All grades are the same, or one lies outside ``grade_range``.
    """
    grades = grades_of(table)
    assert grades is not None
    low, high = float(grades.min()), float(grades.max())
    if low == high:
        raise InputError(
            f"all {len(grades):,} training pairs have the grade {low:g}; there is no contrast to learn from. Where all "
            "are matches, leave the grades out and take task.loss 'in_batch'."
        )
    if task.loss == "cosine":
        bottom, top = task.grade_range or (low, high)
        if low < bottom or high > top:
            raise InputError(f"training grades lie in {low:g} to {high:g}, task.grade_range is {bottom:g} to {top:g}.")
        grades = (grades - bottom) / (top - bottom)
    return Rows(pair_texts(table), 2, grades.astype(np.float32))


def match_rows(table: Table, task: EmbeddingConfig, seed: int) -> Rows:
    """Positive pairs, with a hard negative each where there are any.

    Raises:
        InputError: There is no positive pair, or grades do not say which are positive.
    """
    first, second = table.texts[FIRST], table.texts[SECOND]
    grades = grades_of(table)
    if grades is None:
        if task.positive_from is not None:
            raise InputError("task.positive_from is set, but the pairs have no grades; leave it out.")
        positive = lowest = np.ones(len(table), bool)
    else:
        positive, lowest = grades >= _threshold(table, grades, task), grades == grades.min()
    if grades is not None and not positive.any():
        low, high = f"{grades.min():g}", f"{grades.max():g}"
        known = f"all have the grade {low}" if low == high else f"their grades are {low} to {high}"
        limit = "" if task.positive_from is None else f", and task.positive_from is {task.positive_from:g}"
        raise InputError(f"no training pair is positive: {known}{limit}.")
    rows = np.flatnonzero(positive).tolist()
    hard = _hard_negatives(table, rows, lowest & ~positive) if task.hard_negatives else {}
    counts = _left_out(first, positive, lowest, hard)
    if not hard:
        texts = [text for row in rows for text in (first[row], second[row])]
        return Rows(texts, 2, np.ones(len(rows), np.float32), counts)
    random, texts = np.random.default_rng(seed), []
    for row in rows:
        own = hard.get(row)
        texts += [first[row], second[row], second[int(random.integers(len(second)))] if own is None else own]
    if n_random := len(rows) - len(hard):
        counts["positives with a negative at random"] = n_random
    return Rows(texts, 3, np.ones(len(rows), np.float32), counts)


def _threshold(table: Table, grades: NDArray[np.float64], task: EmbeddingConfig) -> float:
    if task.positive_from is not None:
        return task.positive_from
    if {label.lower() for (label,) in table.labels or []} <= set(INFERENCE):
        return INFERENCE["entailment"]
    levels = np.unique(grades)
    if len(levels) > 2:
        raise InputError(
            f"the training pairs have {len(levels):,} grades from {levels[0]:g} to {levels[-1]:g}; set "
            "task.positive_from to the one from which on a pair is positive, or take task.loss 'cosent'."
        )
    return float(levels[-1]) if len(levels) == 2 or levels[0] > 0 else np.inf


def _hard_negatives(table: Table, rows: list[int], negative: NDArray[np.bool_]) -> dict[int, str]:
    """Hard negative of each positive row that has one, of a column or of other pairs of its first text."""
    if NEGATIVE in table.texts:
        return {row: table.texts[NEGATIVE][row] for row in rows}
    by_first: dict[str, list[str]] = {}
    for row in np.flatnonzero(negative).tolist():
        by_first.setdefault(table.texts[FIRST][row], []).append(table.texts[SECOND][row])
    used: dict[str, int] = {}
    hard: dict[int, str] = {}
    for row in rows:
        text = table.texts[FIRST][row]
        if text in by_first:
            hard[row] = by_first[text][used.setdefault(text, 0) % len(by_first[text])]
            used[text] += 1
    return hard


def _left_out(
    first: list[str], positive: NDArray[np.bool_], lowest: NDArray[np.bool_], hard: Mapping[int, str]
) -> dict[str, int]:
    """Count pairs that are neither positive nor the hard negative of one."""
    with_hard = {first[row] for row in hard}
    used = np.array([text in with_hard for text in first]) & lowest & ~positive
    left = int((~positive & ~used).sum())
    return {"pairs without a match left out": left} if left else {}


def text_numbers(texts: list[str], width: int) -> NDArray[np.int64]:
    """Number of each text, the same for equal ones: ``[examples, width]``."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(text, len(number)) for text in texts], np.int64).reshape(-1, width)
