"""A dictionary of entities: its file, and where its entries stand in sentences without labels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nlp_tasks.data import count_or_refuse, read_lines
from nlp_tasks.tagging.lexicon import beginnings, occurrences
from nlp_tasks.tagging.schemes import Entity
from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress

TWO_TYPES = "an entity of two types"


def fits_a_line(text: str) -> bool:
    """Whether a line of ``entity<tab>type`` can hold this: no tab, no line break, no blank around it."""
    return bool(text) and text == text.strip() and not any(mark in text for mark in "\t\n\r")


@dataclass(frozen=True)
class Dictionary:
    """Entities and the one type that each has."""

    types: dict[str, str]
    """Type by entity."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Lines that could not be used, by reason."""

    refused: frozenset[str] = frozenset()
    """Entities of two types, which say nothing about the type of a match."""

    def __len__(self) -> int:
        return len(self.types)

    def with_more(self, added: Mapping[str, str]) -> "Dictionary":
        """The same and some more."""
        return replace(self, types={**self.types, **added})

    def save(self, path: Path) -> None:
        """Write the file that ``read_dictionary`` reads."""
        with replacing(path) as aside:
            aside.write_text("".join(f"{entity}\t{kind}\n" for entity, kind in self.types.items()), encoding="utf-8")


def read_dictionary(path: Path, bad_rows: str = "raise") -> Dictionary:
    """Read a file of ``entity<tab>type`` lines; an entry that is there again is counted and changes nothing.

    Args:
        path: The file, UTF-8.
        bad_rows: What a line of another form does, and every line of an entity with two types: ``raise`` or ``drop``.

    Raises:
        InputError: It is missing or has no entry that can be used, or a line is refused.
    """
    path = Path(path)
    found: list[tuple[int, str, str]] = []
    bad: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            bad.append((number, "not entity<tab>type"))
        else:
            found.append((number, cells[0], cells[1]))
    pairs = Counter((entity, kind) for _, entity, kind in found)
    per_entity = Counter(entity for entity, _ in pairs)
    bad += [(number, TWO_TYPES) for number, entity, _ in found if per_entity[entity] > 1]
    left_out = count_or_refuse(path, sorted(bad), bad_rows)
    if again := sum(n - 1 for (entity, _), n in pairs.items() if per_entity[entity] == 1):
        left_out["an entry that is there already"] = again
    types = {entity: kind for entity, kind in pairs if per_entity[entity] == 1}
    if not types:
        told = "".join(f"; {reason}: {n:,}" for reason, n in left_out.items())
        raise InputError(f"{path} holds no entry that can be used{told}. An entry is a line entity<tab>type.")
    return Dictionary(types, dict(left_out), frozenset(entity for entity, n in per_entity.items() if n > 1))


@dataclass(frozen=True)
class Matches:
    """Where the entries of a dictionary stand."""

    sentences: list[Sentence]
    """The sentences, their entities now the matches alone."""

    entries: Counter[str]
    """Matches by entry."""

    ambiguous: int
    """Places where matching from the left and from the right disagree; neither is taken."""


def match(dictionary: Dictionary, sentences: Sequence[Sentence]) -> Matches:
    """Match the longest entries, from unit to unit, and keep what matching from both ends agrees on.

    From the left, the longest entry that begins at a unit is taken and matching goes on behind it; from the right the
    same, mirrored (maximum matching, as in Peng et al. 2019). Where entries overlap without one holding the other, the
    two disagree, and what stands there stays unknown.
    """
    begins = beginnings(dictionary.types)
    found: list[Sentence] = []
    entries, ambiguous = Counter[str](), 0
    with Progress("matching the dictionary", len(sentences), "sentences") as progress:
        for sentence in sentences:
            progress.advance()
            spans = {(start, stop): entity for start, stop, entity in occurrences(sentence, dictionary.types, begins)}
            left, right = _from_left(spans, len(sentence)), _from_right(spans, len(sentence))
            agreed = sorted(left & right)
            ambiguous += len(left - right)
            entries.update(spans[span] for span in agreed)
            level = tuple(Entity(*span, dictionary.types[spans[span]]) for span in agreed)
            found.append(replace(sentence, levels=(level,)))
    return Matches(found, entries, ambiguous)


def _from_left(spans: Iterable[tuple[int, int]], units: int) -> set[tuple[int, int]]:
    longest: dict[int, int] = {}
    for start, stop in spans:
        longest[start] = max(stop, longest.get(start, 0))
    taken, place = set(), 0
    while place < units:
        stop = longest.get(place, place)
        if stop > place:
            taken.add((place, stop))
        place = max(stop, place + 1)
    return taken


def _from_right(spans: Iterable[tuple[int, int]], units: int) -> set[tuple[int, int]]:
    mirrored = _from_left([(units - stop, units - start) for start, stop in spans], units)
    return {(units - stop, units - start) for start, stop in mirrored}
