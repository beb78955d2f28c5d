"""Tables, labels and batches of pairs of texts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches
from nlp_tasks.examples import Table, table_of
from nlp_tasks.inputs import Inputs
from nlp_tasks.matching.config import MatchingConfig
from recsys_bert.errors import InputError

Texts = Iterable[str]
YES = {"1", "true"}
NO = {"0", "false"}


def pair_table(first: Texts, second: Texts, *labels_and_name: Any) -> Table:
    """Table of pairs; the last arguments are their labels, if there are any, and the name of the part."""
    *labels, name = labels_and_name
    return table_of({"first": first, "second": second}, labels[0] if labels else None, name)


def text_columns(table: Table) -> tuple[list[str], list[str]]:
    """First and second texts."""
    first, second = table.texts.values()
    return first, second


def pair_labels(table: Table) -> NDArray[np.int64]:
    """Labels ``[n]``, 1 for a match; all are matches in a table without labels."""
    return np.ones(len(table), np.int64) if table.labels is None else yes_or_no(table.labels)


def not_yes_or_no(labels: Sequence[tuple[str, ...]]) -> list[str]:
    """Reason why a pair cannot be used, "" where it can: its label is neither 0 nor 1."""
    return ["" if label.lower() in YES | NO else f"label {label!r} is neither 0 nor 1" for (label,) in labels]


def check_yes_or_no(labels: Sequence[tuple[str, ...]], path: Path) -> None:
    """Refuse labels that mean something else than match or none, whatever is done with unusable rows.

    Raises:
        InputError: More than a tenth are neither 0 nor 1, or some are fractions, such as grades from 0 to 5: without
            them, those that happen to be 0 or 1 would be learned as none and match.
    """
    others = [label for (label,) in labels if label.lower() not in YES | NO]
    numbers = [number for label in others if (number := _number(label)) is not None]
    if not others or (len(others) <= 0.1 * len(labels) and all(number.is_integer() for number in numbers)):
        return
    if len(numbers) == len(others):
        kind = f"grades from {min(numbers):g} to {max(numbers):g}" if min(numbers) < max(numbers) else f"{numbers[0]:g}"
        remedy = (
            "To learn grades, train vectors (`text embed train`, TextEncoder.train). Decide from which grade on two "
            "texts match, and write 1 or 0 in a column of its own."
        )
    else:
        kind = ", ".join(map(repr, sorted(set(others))[:3]))
        remedy = "Write 1 or 0 in a column of its own; to tell more than two labels apart, classify."
    raise InputError(
        f"{len(others):,} of the {len(labels):,} labels of {path} are {kind}, but a matcher learns 1 (match) and 0 "
        f"(none). {remedy}"
    )


def _number(label: str) -> float | None:
    try:
        return number if isfinite(number := float(label)) else None
    except ValueError:
        return None


def usable_pairs(parts: Mapping[str, Table]) -> dict[str, Table]:
    """Refuse, or drop and count, pairs whose label is neither 0 nor 1; see ``check_yes_or_no``."""
    for path in dict.fromkeys(table.path for table in parts.values()):  # training and what is held out of it together
        check_yes_or_no([one for table in parts.values() if table.path == path for one in table.labels or []], path)
    return {
        name: table if table.labels is None else table.without(not_yes_or_no(table.labels))
        for name, table in parts.items()
    }


def yes_or_no(labels: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """Labels as 0 and 1, ``[n]``."""
    return np.array([label.lower() in YES for (label,) in labels], np.int64)


def check_both_kinds(labels: NDArray[np.int64]) -> None:
    """Refuse labels of one kind alone.

    Raises:
        InputError: All pairs match, or none does.
    """
    if labels.all() or not labels.any():
        kind = "match" if labels.any() else "do not match"
        raise InputError(
            f"all {len(labels):,} training pairs {kind}; both kinds are needed. From matches alone, without labels, a "
            "bi-encoder learns with task.form 'bi' and task.loss 'in_batch'."
        )


def text_ids(first: Sequence[str], second: Sequence[str]) -> NDArray[np.int64]:
    """Number of each text of the pairs, the same for equal texts: ``[n, 2]``."""
    number: dict[str, int] = {}
    pairs = [[number.setdefault(text, len(number)) for text in pair] for pair in zip(first, second, strict=True)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def match_weight(labels: NDArray[np.int64], config: MatchingConfig) -> float:
    """Weight of matches in the loss."""
    return float((labels == 0).sum() / labels.sum()) if config.class_weights == "balanced" else 1.0


def pair_batches(
    read: Callable[[Sequence[str], Sequence[str]], Inputs],
    texts: tuple[list[str], list[str]],
    labels: NDArray[np.int64],
    config: MatchingConfig,
    batch_size: int,
    seed: int,
) -> TextBatches:
    """Training batches of pairs; with ``swap``, every epoch samples the order of each pair.

    Args:
        read: Makes rows of pairs: ``Matcher.inputs``.
        texts: First and second text of each pair.
        labels: ``[n]``.
        config: The settings.
        batch_size: Pairs per batch.
        seed: Of order and swaps.
    """
    first, second = texts
    choose, n = None, len(labels)
    if config.swap:
        first, second, labels = first + second, second + first, np.concatenate([labels, labels])
        choose = partial(_one_of_two, n)
    values = {"labels": labels, "ids": text_ids(first, second)}
    return TextBatches(
        read(first, second),
        values,
        batch_size=batch_size,
        seed=seed,
        choose=choose,
        texts=2 if config.form == "bi" else 1,
        targets=labels if config.loss == "in_batch" else None,
    )


def _one_of_two(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(n) + n * random.integers(0, 2, n)
