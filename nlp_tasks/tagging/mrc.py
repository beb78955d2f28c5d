"""MRC tagging (https://aclanthology.org/2020.acl-main.519): one query per entity type, one example per query."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nlp_tasks.lines import read_lines
from recsys_bert.errors import InputError, unknown_name


def is_mrc(head: nn.Module | type) -> bool:
    """True for heads, or classes of heads, whose examples are sentences with a query."""
    return bool(getattr(head, "mrc", False))


def is_nested(head: nn.Module) -> bool:
    """True for heads that predict nested entities."""
    return bool(getattr(head, "nested", False))


def read_queries(file: Path | None, types: Sequence[str]) -> list[str]:
    """Query of each type: from a file of ``TYPE<tab>query`` lines, or, without a file, the type's name.

    Raises:
        InputError: A type has none or two, a line has another form, or names a type that does not occur in training.
    """
    if file is None:
        return list(types)
    queries: dict[str, str] = {}
    for number, line in read_lines(file):
        if not line.strip():
            continue
        kind, _, query = line.partition("\t")
        if not query.strip():
            raise InputError(f"line {number} of {file} is not TYPE<tab>query.")
        if kind not in types:
            raise unknown_name(f"type (line {number} of {file})", kind, types)
        if kind in queries:
            raise InputError(f"line {number} of {file} is a second query for {kind}; leave one.")
        queries[kind] = query.strip()
    if lacking := [kind for kind in types if kind not in queries]:
        raise InputError(f"{file} has no query for {', '.join(lacking)}.")
    return [queries[kind] for kind in types]


def as_examples(entities: NDArray[np.int64], n_types: int) -> NDArray[np.int64]:
    """Map entities of sentences ``[k, 4]`` to examples, sentence by sentence and type by type; their type is 0."""
    sentence, start, stop, kind = entities.T
    rows = np.stack([sentence * n_types + kind, start, stop, np.zeros_like(kind)], axis=1)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def as_sentences(entities: NDArray[np.int64], n_types: int) -> NDArray[np.int64]:
    """Invert ``as_examples``; the order of rows stays."""
    example, start, stop, _ = entities.T
    return np.stack([example // n_types, start, stop, example % n_types], axis=1)


def without_overlaps(entities: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of entities that do not overlap: greedily from the best score down, the longer one of equal scores first."""
    rows: list[int] = []
    spans: dict[int, list[tuple[int, int]]] = {}
    for row in np.lexsort((entities[:, 1] - entities[:, 2], -scores)).tolist():
        sentence, start, stop, _ = entities[row].tolist()
        others = spans.setdefault(sentence, [])
        if all(stop <= a or b <= start for a, b in others):
            others.append((start, stop))
            rows.append(row)
    return np.array(sorted(rows), np.int64)
