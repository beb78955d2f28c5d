"""Labels of texts: their numbers, names and weights; sampling by class."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import Choose
from nlp_tasks.classification.config import ClassificationConfig
from nlp_tasks.lines import read_lines
from recsys_bert.errors import InputError

Labels = Sequence[tuple[str, ...]]


def known_labels(labels: Labels, multi_label: bool) -> list[str]:
    """Labels of the training examples, numbers by size and all others by the alphabet.

    Raises:
        InputError: There are fewer than two, so that there is nothing to learn (one is enough for multi-label).
    """
    counts = Counter(label for names in labels for label in names)
    if len(counts) < (1 if multi_label else 2):
        there = f"all are {next(iter(counts))!r}" if counts else "no example has one"
        raise InputError(
            f"there are too few labels among the {len(labels):,} training examples to learn from: {there}."
        )
    if fractions := sum(_is_fraction(name) for name in counts):
        raise InputError(
            f"{fractions:,} of the {len(counts):,} labels are fractions, such as "
            f"{next(filter(_is_fraction, counts))}: grades, not classes. Write the class of each text."
        )
    if multi_label and len(counts) > 1 and all(len(names) == len(counts) for names in labels):
        raise InputError(
            f"every training example has all {len(counts)} labels ({', '.join(sorted(counts)[:5])}); lists of 0 and 1, "
            "one a class, are no lists of labels. List the labels that hold."
        )
    return sorted(counts, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def _is_fraction(label: str) -> bool:
    return re.fullmatch(r"-?\d*\.\d+", label) is not None


def class_names(labels: Sequence[str], file: Path | None) -> list[str]:
    """Display names of labels that are numbers: lines of ``file``, counted from 0; the labels themselves without one.

    Raises:
        InputError: A label is no number of a line.
    """
    if file is None:
        return list(labels)
    names = [line.strip() for _, line in read_lines(file)]
    for label in labels:
        if not label.isdecimal() or int(label) >= len(names) or not names[int(label)]:
            raise InputError(f"label {label!r} is no number of a line of {file}, which has {len(names)} from 0 on.")
    return [names[int(label)] for label in labels]


def unseen(labels: Labels, known: Sequence[str]) -> list[str]:
    """Reason why an example cannot be evaluated, "" where it can: a label that does not occur in training."""
    labels_known = set(known)
    wrong = [next((label for label in names if label not in labels_known), None) for names in labels]
    return ["" if label is None else f"label {label!r} does not occur in training" for label in wrong]


def encode_labels(labels: Labels, known: Sequence[str], multi_label: bool) -> NDArray[np.int64]:
    """Targets ``[n]``, or, with ``multi_label``, ``[n, classes]`` of 0 and 1."""
    number = {label: n for n, label in enumerate(known)}
    if not multi_label:
        return np.array([number[names[0]] for names in labels], np.int64)
    targets = np.zeros((len(labels), len(known)), np.int64)
    for row, names in enumerate(labels):
        targets[row, [number[label] for label in names]] = 1
    return targets


def class_weights(
    targets: NDArray[np.int64], labels: Sequence[str], config: ClassificationConfig
) -> NDArray[np.float32]:
    """Weight of each class, ``[classes]``.

    Raises:
        InputError: ``config.weights`` names a label that does not occur.
    """
    if unknown := sorted(set(config.weights) - set(labels)):
        raise InputError(f"task.weights names {unknown[0]!r}; the labels are {', '.join(labels)}.")
    weights = np.ones(len(labels))
    if config.class_weights == "balanced":
        n, ones = (
            len(targets),
            targets.sum(axis=0) if config.multi_label else np.bincount(targets, minlength=len(labels)),
        )
        weights = (n - ones) / np.maximum(ones, 1) if config.multi_label else n / (len(labels) * ones)
    factors = np.array([config.weights.get(label, 1.0) for label in labels])
    return (weights * factors).astype(np.float32)


def down_sampling(targets: NDArray[np.int64], ratio: float) -> Choose:
    """Sample at most ``ratio`` examples of a class per example of the rarest class."""
    members = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    most = int(min(map(len, members)) * ratio)

    def choose(random: np.random.Generator) -> NDArray[np.int64]:
        sampled = [m if len(m) <= most else random.choice(m, most, replace=False) for m in members]
        return np.sort(np.concatenate(sampled))

    return choose
