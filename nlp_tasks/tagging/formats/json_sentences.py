"""Sentences of JSON objects and table rows: texts with entities in characters, or words with tags.

Known forms: ``{"start", "end", "type"}`` and ``[start, end, type]`` (also as doccano, Prodigy, spaCy and pipelines of
Hugging Face call them), CLUENER's ``{type: {surface: [[start, last]]}}``, Label Studio's tasks, and the ``tokens`` and
``ner_tags`` of Hugging Face's data sets.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from nlp_tasks.examples import HALF, is_text
from nlp_tasks.tagging.schemes import OUTSIDE

TEXT_KEYS = ("text", "sentence", "content", "document")
WORDS_KEYS = ("tokens", "words")
ENTITIES_KEYS = ("entities", "label", "labels", "spans", "annotations", "ents")
TAGS_KEYS = ("ner_tags", "tags", "ner", "labels", "label")
INNER_TAGS_KEYS = ("nested_ner_tags",)
"""Usual keys, in order of preference."""

_START = ("start", "start_offset", "begin", "start_idx")
_STOP = ("end", "stop", "end_offset", "end_idx")
_TYPE = ("type", "label", "labels", "entity_group", "entity", "tag")
_SURFACE = ("text", "surface", "word", "mention")

Characters = tuple[int, int, str]
"""First character, one past the last, type."""


@dataclass(frozen=True)
class JSONSentence:
    """A text or words, and entities or tags."""

    text: str = ""
    words: list[str] | None = None
    """In place of a text."""

    entities: list[Characters] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    """Tags of the words by level, the outermost first."""

    inclusive: int = 0
    """Entities whose end is their last character."""

    utf16: int = 0
    """Entities counted in UTF-16 units, as JavaScript does."""

    problem: str = ""
    """Reason why it cannot be used."""

    lost: int = 0
    """Entities of a sentence that cannot be used."""


def read_sentence(
    cells: Mapping[str, Any], text_key: str | None, entities_key: str | None, names: Sequence[str], *, entities: bool
) -> JSONSentence:
    """Read one object.

    Args:
        cells: The object.
        text_key: Key of the text or words; None: a usual one.
        entities_key: Key of entities or tags; None: a usual one.
        names: Names of tags that are numbers.
        entities: Read entities or tags as well.
    """
    if text_key is None and isinstance(cells.get("data"), dict):
        cells = _label_studio(cells)
    key = text_key or _first(cells, (*TEXT_KEYS, *WORDS_KEYS))
    if key is not None and isinstance(cells.get(key), list | tuple):
        return _words(cells, list(cells[key]), entities_key, names, entities=entities)
    text = None if key is None else cells.get(key)
    if not isinstance(text, str) or not text.strip():
        return JSONSentence(problem=f"no text under {(text_key or 'text')!r}")
    if not is_text(text):
        return JSONSentence(problem=HALF)
    if not entities:
        return JSONSentence(text)
    annotation = cells.get(entities_key or _first(cells, ENTITIES_KEYS) or "")
    if not isinstance(annotation, list | tuple | dict):
        return JSONSentence(problem=f"no list under {(entities_key or 'entities')!r}")
    return with_entities(text, annotation)


def _first(cells: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if cells.get(key) is not None), None)


def _words(
    cells: Mapping[str, Any], words: list[Any], key: str | None, names: Sequence[str], *, entities: bool
) -> JSONSentence:
    """Words with tags, on one level or several."""
    if not words or any(not isinstance(word, str) or not word for word in words):
        return JSONSentence(problem="its words are no list of texts, or one is empty")
    if not all(map(is_text, words)):
        return JSONSentence(problem=HALF)
    if not entities:
        return JSONSentence(words=words)
    keys = [key or _first(cells, TAGS_KEYS) or "ner_tags"]
    keys += [inner for inner in INNER_TAGS_KEYS if key is None and inner in cells]
    levels: list[list[str]] = []
    for name in keys:
        tags = cells.get(name)
        if not isinstance(tags, list | tuple):
            return JSONSentence(problem=f"no list under {name!r}")
        if len(tags) != len(words):
            return JSONSentence(problem=f"{len(words)} words have {len(tags)} tags")
        named = [_name(tag, names) for tag in tags]
        if None in named:
            return JSONSentence(problem=_no_name(tags[named.index(None)], names))
        levels.append([tag for tag in named if tag is not None])
    return JSONSentence(words=words, tags=levels)


def _name(tag: Any, names: Sequence[str]) -> str | None:
    if isinstance(tag, str) and tag:
        return names[int(tag)] if names and tag.isdecimal() and int(tag) < len(names) else tag
    number = isinstance(tag, int) and not isinstance(tag, bool)
    return names[tag] if number and 0 <= tag < len(names) else None


def _no_name(tag: Any, names: Sequence[str]) -> str:
    if isinstance(tag, int) and not names:
        return f"tags are numbers, such as {tag}; name them in order with tag-names O B-PER I-PER …"
    return f"tag {tag!r} has no name" + (f"; there are {len(names)} names" if names else "")


def _label_studio(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Text and entities of a Label Studio task: of its first annotation that was not cancelled."""
    data = cells["data"]
    annotations = cells.get("annotations") or cells.get("completions") or []
    results: list[Any] = []
    for one in annotations:
        if isinstance(one, dict) and not one.get("was_cancelled"):
            results = one.get("result") or []
            break
    values = [result.get("value") for result in results if isinstance(result, dict)]
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data.get("text", texts[0] if texts else None)
    return {"text": text, "entities": [value for value in values if isinstance(value, dict) and "start" in value]}


def with_entities(text: str, annotation: Any) -> JSONSentence:
    """Text with entities in one of the known forms; a surface beside a span is compared with what the span cuts out."""
    spans: list[Characters] = []
    inclusive = utf16 = 0
    raw = list(_raw_entities(annotation))
    for one in raw:
        if one is None:
            problem = "an entity is neither {start, end, type} nor [start, end, type]"
            return JSONSentence(text, problem=problem, lost=len(raw))
        start, stop, kind, surface = one
        fitted = _fitted(text, start, stop, surface)
        if fitted is None:
            problem = f"the text beside an entity is {surface!r}, but its span cuts out {text[max(0, start) : stop]!r}"
            return JSONSentence(text, problem=problem, lost=len(raw))
        first, last, how = fitted
        if not 0 <= first < last <= len(text):
            return JSONSentence(text, problem="an entity lies outside its text", lost=len(raw))
        inclusive += how == "inclusive"
        utf16 += how == "utf16"
        spans.append((first, last, kind))
    return JSONSentence(text, entities=spans, inclusive=inclusive, utf16=utf16)


def _fitted(text: str, start: int, stop: int, surface: str | None) -> tuple[int, int, str] | None:
    """Span that cuts the surface out: as it is, with an inclusive end, or counted in UTF-16; None where none does."""
    if surface is None or (start >= 0 and _same(text[start:stop], surface)):
        return start, stop, ""
    if start >= 0 and _same(text[start : stop + 1], surface):
        return start, stop + 1, "inclusive"
    units = [0, *accumulate(1 + (ord(letter) > 0xFFFF) for letter in text)]
    if start in units and stop in units:
        first, last = units.index(start), units.index(stop)
        if _same(text[first:last], surface):
            return first, last, "utf16"
    return None


def _same(cut: str, surface: str) -> bool:
    return _plain(cut) == _plain(surface)


def _plain(text: str) -> str:
    """Text in NFC, with single blanks; annotation tools write a line break as a blank."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _raw_entities(annotation: Any) -> Iterator[tuple[int, int, str, str | None] | None]:
    """Start, stop, type and perhaps the surface of each entity; None for one of another form."""
    if not isinstance(annotation, dict):
        for one in annotation:
            yield _entity(one)
        return
    for kind, mentions in annotation.items():  # CLUENER
        if not isinstance(mentions, dict):
            mentions = {None: mentions}
        for surface, spans in mentions.items():
            for span in spans if isinstance(spans, list) else [None]:
                if isinstance(span, list) and len(span) == 2:
                    yield _checked(span[0], span[1], kind, surface)
                else:
                    yield None


def _entity(one: Any) -> tuple[int, int, str, str | None] | None:
    if isinstance(one, dict):
        start, stop, kind, surface = (
            next((one[key] for key in keys if key in one), None) for keys in (_START, _STOP, _TYPE, _SURFACE)
        )
        if isinstance(kind, list) and len(kind) == 1:
            (kind,) = kind
        return _checked(start, stop, kind, surface if isinstance(surface, str) else None)
    if not isinstance(one, list | tuple) or len(one) not in (3, 4):
        return None
    start, stop, kind = one[:3] if not isinstance(one[0], str) else (one[1], one[2], one[0])
    return _checked(start, stop, kind, one[3] if len(one) == 4 and isinstance(one[3], str) else None)


def _checked(start: Any, stop: Any, kind: Any, surface: str | None) -> tuple[int, int, str, str | None] | None:
    numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in (start, stop))
    usable = numbers and isinstance(kind, str) and kind and kind != OUTSIDE
    return (start, stop, kind, surface) if usable else None
