"""Growing a dictionary by what a model finds again and again (AdaPU of Peng et al. 2019)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.data import read_lines
from nlp_tasks.tagging.lexicon import beginnings, occurrences
from nlp_tasks.tagging.pu.dictionary import Dictionary, fits_a_line
from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.errors import InputError
from recsys_bert.files import replacing


@dataclass(frozen=True)
class Addition:
    """An entity that a dictionary grows by."""

    entity: str
    type: str
    repeats: int
    """How often it was found."""

    occurs: int
    """How often it stands in the text; places within a longer entity that was found are not counted."""

    score: float
    """Mean of its scores."""


def confident_repeats(
    sentences: Sequence[Sentence],
    found: NDArray[np.int64],
    scores: NDArray[np.float64],
    types: Sequence[str],
    dictionary: Dictionary,
    *,
    min_repeats: int,
    agreement: float,
    min_score: float,
) -> list[Addition]:
    """Entities that are not in the dictionary, but were found often, with confidence, and wherever they stand.

    Args:
        sentences: The text.
        found: Entities of a model ``[k, 4]``: sentence, first unit, one past the last, type.
        scores: ``[k]``.
        types: Their names.
        dictionary: What is known; entities that it refused stay out.
        min_repeats: Fewest places at which an entity is found.
        agreement: Least share of its places at which it is found, as that type.
        min_score: Least mean score.

    Returns:
        The most frequent first; without those that a line of a dictionary cannot hold.
    """
    by_entity: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for (number, start, stop, kind), score in zip(found.tolist(), scores.tolist(), strict=True):
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
    places = _places(sentences, often, spans)
    added = []
    for entity in often:
        kind, own = max(by_entity[entity].items(), key=lambda item: (len(item[1]), -item[0]))
        mean = float(np.mean(own))
        if len(own) >= agreement * places[entity] and mean >= min_score:
            added.append(Addition(entity, types[kind], len(own), places[entity], mean))
    return sorted(added, key=lambda one: (-one.repeats, one.entity))


def _places(
    sentences: Sequence[Sentence], entities: set[str], spans: dict[int, list[tuple[int, int]]]
) -> dict[str, int]:
    """How often entities stand in sentences, but for places within a longer one of ``spans``."""
    counts, begins = dict.fromkeys(entities, 0), beginnings(entities)
    for number, sentence in enumerate(sentences):
        for start, stop, entity in occurrences(sentence, entities, begins):
            longer = any(a <= start and stop <= b and b - a > stop - start for a, b in spans.get(number, ()))
            counts[entity] += not longer
    return counts


_COLUMNS = ("entity", "type", "repeats", "occurs", "score")


def write_additions(path: Path, added: Sequence[Addition]) -> None:
    """Write a table with a line an entity, whole or not at all."""
    lines = ["\t".join(_COLUMNS), *("\t".join(map(str, asdict(one).values())) for one in added)]
    with replacing(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_additions(path: Path) -> list[Addition]:
    """Read what ``write_additions`` wrote.

    Raises:
        InputError: It is damaged.
    """
    found = []
    for number, line in read_lines(path):
        cells = line.split("\t")
        if number == 1:
            continue
        try:
            entity, kind, repeats, occurs, score = cells
            found.append(Addition(entity, kind, int(repeats), int(occurs), float(score)))
        except ValueError as error:
            raise InputError(f"line {number} of {path} is damaged. Delete the file; its round is run again.") from error
    return found
