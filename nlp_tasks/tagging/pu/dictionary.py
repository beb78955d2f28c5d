"""A dictionary of entities: its file, and its matches in sentences without labels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nlp_tasks.examples import count_or_refuse
from nlp_tasks.lines import read_lines
from nlp_tasks.normalisation import normalise
from nlp_tasks.tagging.lexicon.lexicon import occurrences, prefixes
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import Sentence
from recsys_bert.errors import InputError
from recsys_bert.files import replacing
from recsys_bert.progress import Progress

TWO_TYPES = "an entity of two types"


def fits_a_line(text: str) -> bool:
    """True for texts that a line of ``entity<tab>type`` can hold: no tab, no line break, no blank around it."""
    return bool(text) and text == text.strip() and not any(mark in text for mark in "\t\n\r")


@dataclass(frozen=True)
class Dictionary:
    """Entities with one type each."""

    types: dict[str, str]
    """Type by entity."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Unusable lines, by reason."""

    refused: frozenset[str] = frozenset()
    """Entities with two types, which are ambiguous."""

    def __len__(self) -> int:
        return len(self.types)

    def with_more(self, added: Mapping[str, str]) -> "Dictionary":
        """Copy with more entities."""
        return replace(self, types={**self.types, **added})

    def save(self, path: Path) -> None:
        """Write the file that ``read_dictionary`` reads."""
        with replacing(path) as temporary:
            temporary.write_text(
                "".join(f"{entity}\t{kind}\n" for entity, kind in self.types.items()), encoding="utf-8"
            )


def read_dictionary(path: Path, bad_rows: str = "raise") -> Dictionary:
    """Read a file of ``entity<tab>type`` lines; repeated entries are counted.

    Args:
        path: The file, UTF-8.
        bad_rows: ``raise`` or ``drop`` lines of another form, and entities with two types.

    Raises:
        InputError: It is missing or has no usable entry, or a line is refused.
    """
    path = Path(path)
    entries: list[tuple[int, str, str]] = []
    bad: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            bad.append((number, "not entity<tab>type"))
        else:
            entries.append((number, normalise(cells[0]), cells[1]))
    pairs = Counter((entity, kind) for _, entity, kind in entries)
    per_entity = Counter(entity for entity, _ in pairs)
    bad += [(number, TWO_TYPES) for number, entity, _ in entries if per_entity[entity] > 1]
    left_out = count_or_refuse(path, sorted(bad), bad_rows)
    if repeated := sum(n - 1 for (entity, _), n in pairs.items() if per_entity[entity] == 1):
        left_out["a repeated entry"] = repeated
    types = {entity: kind for entity, kind in pairs if per_entity[entity] == 1}
    if not types:
        reasons = "".join(f"; {reason}: {n:,}" for reason, n in left_out.items())
        raise InputError(f"{path} holds no usable entry{reasons}. An entry is a line entity<tab>type.")
    return Dictionary(types, dict(left_out), frozenset(entity for entity, n in per_entity.items() if n > 1))


@dataclass(frozen=True)
class Matches:
    """Matches of a dictionary in sentences."""

    sentences: list[Sentence]
    """The sentences, with the matches as their entities."""

    entries: Counter[str]
    """Matches by entry."""

    ambiguous: int
    """Matches from the left on which matching from the right disagrees; neither counts."""


def match(dictionary: Dictionary, sentences: Sequence[Sentence]) -> Matches:
    """Bidirectional maximum matching at word borders, as in Peng et al. 2019 (https://aclanthology.org/P19-1231).

    From the left, the longest entry that begins at a word matches, and matching goes on behind it; from the right the
    same, mirrored. Where entries overlap without one holding the other, the two disagree and nothing matches.
    """
    entry_prefixes = prefixes(dictionary.types)
    matched: list[Sentence] = []
    entries, ambiguous = Counter[str](), 0
    with Progress("matching the dictionary", len(sentences), "sentences") as progress:
        for sentence in sentences:
            progress.advance()
            spans = {
                (start, stop): entity for start, stop, entity in occurrences(sentence, dictionary.types, entry_prefixes)
            }
            left, right = _from_left(spans, len(sentence)), _from_right(spans, len(sentence))
            agreed = sorted(left & right)
            ambiguous += len(left - right)
            entries.update(spans[span] for span in agreed)
            level = tuple(Span(*span, dictionary.types[spans[span]]) for span in agreed)
            matched.append(replace(sentence, levels=(level,)))
    return Matches(matched, entries, ambiguous)


def _from_left(spans: Iterable[tuple[int, int]], words: int) -> set[tuple[int, int]]:
    longest: dict[int, int] = {}
    for start, stop in spans:
        longest[start] = max(stop, longest.get(start, 0))
    matched, position = set(), 0
    while position < words:
        stop = longest.get(position, position)
        if stop > position:
            matched.add((position, stop))
        position = max(stop, position + 1)
    return matched


def _from_right(spans: Iterable[tuple[int, int]], words: int) -> set[tuple[int, int]]:
    mirrored = _from_left([(words - stop, words - start) for start, stop in spans], words)
    return {(words - stop, words - start) for start, stop in mirrored}
