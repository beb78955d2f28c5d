"""Dictionary growth by repeated, confident predictions (AdaPU of Peng et al. 2019, https://aclanthology.org/P19-1231)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.lines import read_lines
from nlp_tasks.tagging.lexicon.lexicon import occurrences, prefixes
from nlp_tasks.tagging.pu.dictionary import Dictionary, fits_a_line
from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.errors import InputError
from recsys_bert.files import replacing


@dataclass(frozen=True)
class Addition:
    """An entity added to a dictionary."""

    entity: str
    type: str
    repeats: int
    """Number of predictions."""

    occurs: int
    """Number of occurrences in the text, but for those within a longer predicted entity."""

    score: float
    """Mean score."""


def confident_repeats(
    sentences: Sequence[Sentence],
    predicted: NDArray[np.int64],
    scores: NDArray[np.float64],
    types: Sequence[str],
    dictionary: Dictionary,
    *,
    min_repeats: int,
    agreement: float,
    min_score: float,
) -> list[Addition]:
    """Entities outside the dictionary that are predicted often, with confidence, and at most of their occurrences.

    Args:
        sentences: The text.
        predicted: Entities of a model ``[k, 4]``: sentence, first word, one past the last, type.
        scores: ``[k]``.
        types: Their names.
        dictionary: The dictionary; entities that it refused stay out.
        min_repeats: Minimum number of predictions.
        agreement: Minimum share of occurrences that are predicted with that type.
        min_score: Minimum mean score.

    Returns:
        The most frequent first; without those that a line of a dictionary cannot hold.
    """
    by_entity: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for (number, start, stop, kind), score in zip(predicted.tolist(), scores.tolist(), strict=True):
        first, last = sentences[number].characters(start, stop)
        by_entity[sentences[number].text[first:last]][kind].append(score)
        spans[number].append((start, stop))
    often = {
        entity
        for entity, kinds in by_entity.items()
        if entity not in dictionary.types
        and entity not in dictionary.refused
        and max(map(len, kinds.values())) >= min_repeats
        and fits_a_line(entity)
    }
    occurs = _count_occurrences(sentences, often, spans)
    added = []
    for entity in often:
        kind, entity_scores = max(by_entity[entity].items(), key=lambda item: (len(item[1]), -item[0]))
        mean, repeats = float(np.mean(entity_scores)), len(entity_scores)
        if repeats >= agreement * occurs[entity] and mean >= min_score:
            added.append(Addition(entity, types[kind], repeats, occurs[entity], mean))
    return sorted(added, key=lambda one: (-one.repeats, one.entity))


def _count_occurrences(
    sentences: Sequence[Sentence], entities: set[str], spans: dict[int, list[tuple[int, int]]]
) -> dict[str, int]:
    """Count occurrences of entities, but for those within a longer one of ``spans``."""
    counts, entity_prefixes = dict.fromkeys(entities, 0), prefixes(entities)
    for number, sentence in enumerate(sentences):
        for start, stop, entity in occurrences(sentence, entities, entity_prefixes):
            longer = any(a <= start and stop <= b and b - a > stop - start for a, b in spans.get(number, ()))
            counts[entity] += not longer
    return counts


_COLUMNS = ("entity", "type", "repeats", "occurs", "score")


def write_additions(path: Path, added: Sequence[Addition]) -> None:
    """Write a table with one entity a line, atomically."""
    lines = ["\t".join(_COLUMNS), *("\t".join(map(str, asdict(one).values())) for one in added)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_additions(path: Path) -> list[Addition]:
    """Read what ``write_additions`` wrote.

    Raises:
        InputError: It is damaged.
    """
    added = []
    for number, line in read_lines(path):
        cells = line.split("\t")
        if number == 1:
            continue
        try:
            entity, kind, repeats, occurs, score = cells
            added.append(Addition(entity, kind, int(repeats), int(occurs), float(score)))
        except ValueError as error:
            raise InputError(f"line {number} of {path} is damaged. Delete the file; its round is run again.") from error
    return added
