"""Heads that are asked one question a type: from sentences to examples, and from answers back to sentences."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nlp_tasks.data import read_lines
from recsys_bert.errors import InputError, unknown_name


def asks(head: nn.Module | type) -> bool:
    """Whether an example of this head, or of heads of this class, is a sentence with a question."""
    return bool(getattr(head, "asks", False))


def nested(head: nn.Module) -> bool:
    """Whether this head learns and finds entities within others."""
    return bool(getattr(head, "nested", False))


def read_questions(file: Path | None, types: Sequence[str]) -> list[str]:
    """Question of each type: of a file of ``TYPE<tab>question`` lines, or, without a file, the type's name.

    Raises:
        InputError: A type has none or two, a line is of another form, or one is about no type of the training file.
    """
    if file is None:
        return list(types)
    found: dict[str, str] = {}
    for number, line in read_lines(file):
        if not line.strip():
            continue
        kind, _, question = line.partition("\t")
        if not question.strip():
            raise InputError(f"line {number} of {file} is not TYPE<tab>question.")
        if kind not in types:
            raise unknown_name(f"type (line {number} of {file})", kind, types)
        if kind in found:
            raise InputError(f"line {number} of {file} is a second question for {kind}; leave one.")
        found[kind] = question.strip()
    if lacking := [kind for kind in types if kind not in found]:
        raise InputError(f"{file} has no question for {', '.join(lacking)}.")
    return [found[kind] for kind in types]


def as_examples(entities: NDArray[np.int64], n_types: int) -> NDArray[np.int64]:
    """Entities of sentences ``[k, 4]`` as those of examples, sentence by sentence and type by type; their type is 0."""
    sentence, start, stop, kind = entities.T
    rows = np.stack([sentence * n_types + kind, start, stop, np.zeros_like(kind)], axis=1)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def as_sentences(entities: NDArray[np.int64], n_types: int) -> NDArray[np.int64]:
    """The way back from ``as_examples``; the order of the rows stays."""
    example, start, stop, _ = entities.T
    return np.stack([example // n_types, start, stop, example % n_types], axis=1)


def flat(entities: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of entities that do not overlap: from the best score down, each that is free, the longer of two alike."""
    kept: list[int] = []
    taken: dict[int, list[tuple[int, int]]] = {}
    for row in np.lexsort((entities[:, 1] - entities[:, 2], -scores)).tolist():
        sentence, start, stop, _ = entities[row].tolist()
        others = taken.setdefault(sentence, [])
        if all(stop <= a or b <= start for a, b in others):
            others.append((start, stop))
            kept.append(row)
    return np.array(sorted(kept), np.int64)
