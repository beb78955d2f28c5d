"""Annotated sentences: texts or words with entities, as the tagger takes them."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nlp_tasks.examples import HALF, count_or_refuse, is_text, not_empty
from nlp_tasks.splits import VALIDATION_SHARE
from nlp_tasks.tagging.config import Granularity, WordSeparator
from nlp_tasks.tagging.schemes import Scheme, Span
from nlp_tasks.tagging.sentences import Sentence, join_words, levels_of, split_words, words_within
from nlp_tasks.tagging.tag_reading import find_file_scheme, is_tag, read_repaired, recognise_scheme
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError

SAMPLE = 2000
"""Sentences by which ``auto`` settings are decided."""

LOST = "entities in sentences left out"
REPAIRED = "tags read as conlleval does, which their scheme forbids"
"""Counts of ``AnnotatedSentences.repaired``."""

Texts = Sequence[str] | Sequence[Sequence[str]]
"""Plain texts, or sentences as lists of words."""

Annotations = Sequence[Sequence[tuple[int, int, str]]] | Sequence[Sequence[str]]
"""Entities ``(start, stop, type)`` by sentence, or one tag per word."""


@dataclass(frozen=True)
class AnnotatedSentences:
    """Sentences in the order of their file."""

    path: Path
    """Their file."""

    lines: list[int]
    """First line of each sentence, from 1."""

    sentences: list[Sentence]
    """The sentences; without entities where the file has none."""

    granularity: Granularity
    """Their words are ``words`` or ``characters``."""

    word_separator: WordSeparator = "space"
    """Separator of their words: ``space`` or ``none``."""

    left_out: dict[str, int] = field(default_factory=dict)
    """Unusable sentences, by reason."""

    flags: str | None = "data"
    """Group of the command's flags that say how the file is read, for messages; None for lists."""

    bad_rows: str = "raise"
    """Policy for unusable sentences: ``raise`` or ``drop``."""

    digest: str | None = None
    """Fingerprint of lists and folders; None for a file."""

    repaired: dict[str, int] = field(default_factory=dict)
    """Annotation read otherwise than it stands, and entities that went with sentences left out, by what was done."""

    columns: tuple[int, tuple[int, ...]] | None = None
    """Columns of words and tags of a conll file."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "AnnotatedSentences":
        """Select sentences."""
        return replace(self, lines=[self.lines[row] for row in rows], sentences=[self.sentences[row] for row in rows])

    def without(self, reasons: Sequence[str]) -> "AnnotatedSentences":
        """Drop the sentences with a reason, and count them.

        Args:
            reasons: ``[n]``, "" for a sentence that stays.

        Raises:
            InputError: There is one, and ``bad_rows`` is ``raise``; or nothing is left.
        """
        bad = [(line, reason) for line, reason in zip(self.lines, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_or_refuse(self.path, bad, self.bad_rows, self.flags)
        good = self.take([row for row, reason in enumerate(reasons) if not reason])
        lost = sum(len(one.entities) for one, reason in zip(self.sentences, reasons, strict=True) if reason)
        if lost:
            print(f"{self.path}: {lost:,} entities went with {len(bad):,} sentences left out", file=sys.stderr)
        repaired = Counter(self.repaired) + Counter({LOST: lost})
        return not_empty(replace(good, left_out=dict(left_out), repaired=dict(repaired)), "sentence")


@dataclass(frozen=True)
class TextFormat:
    """Words and tags of Python values."""

    granularity: Granularity = "auto"
    """``words`` or ``characters`` of plain text; ``auto`` takes characters for mostly Chinese text."""

    word_separator: WordSeparator = "auto"
    """``space`` or ``none`` between the words of lists; ``auto`` takes none for mostly Chinese text."""

    scheme: str | None = None
    """Tag scheme, where entities are tags; None goes by their letters."""

    def settled(self, texts: Sequence[str]) -> "TextFormat":
        """Decide ``auto`` by texts."""
        chinese = mostly_chinese(texts)
        granularity, separator = self.granularity, self.word_separator
        if granularity == "auto":
            granularity = "characters" if chinese else "words"
        if separator == "auto":
            separator = "none" if chinese or granularity == "characters" else "space"
        return TextFormat(granularity, separator, self.scheme)


def as_sentences(
    texts: Texts,
    entities: Annotations | None = None,
    text_format: TextFormat | None = None,
    *,
    name: str = "training",
    allow_empty: bool = False,
) -> AnnotatedSentences:
    """Annotated sentences of Python values.

    Args:
        texts: Plain texts, which are split into words; or sentences as lists of words.
        entities: Per text, ``(start, stop, type)`` in characters of the text, or in words where a text is a list of
            words, which may have one tag per word instead; None: no entities.
        text_format: Granularity, word separator and tag scheme.
        name: Part of the data, for messages.
        allow_empty: Allow texts without words.

    Raises:
        InputError: A text is empty, there are more texts than entities or fewer, an entity does not begin and end with
            words, or a tag is not valid.
    """
    values, annotations = _lists(texts, entities, name)
    sample = [text if isinstance(text, str) else "".join(map(str, text)) for text in values[:SAMPLE]]
    known = (text_format or TextFormat()).settled(sample)
    scheme = _scheme_of(annotations, known)
    sentences, problems, repaired = [], [], 0
    for number, (text, annotation) in enumerate(zip(values, annotations, strict=True)):
        if not is_text(text if isinstance(text, str) else " ".join(map(str, text))):
            problems.append((number, HALF))
            continue
        sentence, problem, invalid = _sentence(text, annotation, known, scheme)
        repaired += invalid
        if not len(sentence) and not allow_empty:
            problem = "it has no words"
        problems += [(number, problem)] if problem else []
        sentences.append(sentence)
    if problems:
        number, problem = problems[0]
        raise InputError(f"{name} text {number}: {problem}; {len(problems):,} such texts in all.")
    if repaired:
        print(f"{name} texts: {repaired:,} {REPAIRED}", file=sys.stderr)
    digest = sha256(json.dumps([values, annotations, scheme.name]).encode()).hexdigest()
    lines = list(range(1, len(sentences) + 1))
    formats = known.granularity, known.word_separator
    data = AnnotatedSentences(
        Path(f"the {name} texts"),
        lines,
        sentences,
        *formats,
        flags=None,
        digest=digest,
        repaired={REPAIRED: repaired} if repaired else {},
    )
    return not_empty(data, "sentence")


def _lists(texts: Texts, entities: Annotations | None, name: str) -> tuple[list[Any], list[Any]]:
    """Texts and their annotations as lists of one length.

    Raises:
        InputError: They are not.
    """
    if isinstance(texts, str):
        raise InputError("texts is a single string; give a list of texts, or of lists of words.")
    values = [text if isinstance(text, str) or not isinstance(text, Iterable) else list(text) for text in texts]
    if (number := next((n for n, text in enumerate(values) if not isinstance(text, str | list)), None)) is not None:
        kind = type(values[number]).__name__
        raise InputError(f"{name} text {number} is a {kind}; give a list of texts, or of lists of words.")
    annotations: list[Any] = [()] * len(values) if entities is None else [list(one) for one in entities]
    if len(annotations) != len(values):
        raise InputError(
            f"{len(values):,} {name} texts have {len(annotations):,} lists of entities; give one for every text."
        )
    return values, annotations


def evaluation_parts(
    validation: tuple[Texts, Annotations] | float | None,
    test: tuple[Texts, Annotations] | None,
    text_format: TextFormat,
) -> tuple[dict[str, AnnotatedSentences], float]:
    """Annotated sentences of validation and test, as far as there are any; the share to hold out without validation.

    Raises:
        InputError: As of ``as_sentences``, or neither a tuple nor, for validation, a share.
    """
    parts, share = {}, VALIDATION_SHARE
    for name, lists in (("validation", validation), ("test", test)):
        if isinstance(lists, tuple):
            parts[name] = as_sentences(*lists, text_format, name=name)
        elif isinstance(lists, float) and name == "validation":
            share = lists
        elif lists is not None:
            raise InputError(f"{name} is {lists!r}; give a tuple of texts and entities.")
    return parts, share


def _scheme_of(annotations: Sequence[list[Any]], text_format: TextFormat) -> Scheme:
    """Scheme as set, or by the letters of all tags; types without letters are of ``io``."""
    if text_format.scheme is not None:
        return find_file_scheme(text_format.scheme)
    tags = [one for one in annotations if one and all(isinstance(tag, str) for tag in one)]
    letters = all(is_tag(tag) for one in tags for tag in one)
    return recognise_scheme(tags) if letters else find_file_scheme("io")


def _sentence(
    text: str | list[str], annotation: list[Any], text_format: TextFormat, scheme: Scheme
) -> tuple[Sentence, str, int]:
    """Sentence of one text, what is wrong with it ("": nothing), and the number of tags repaired."""
    if isinstance(text, str):
        sentence = split_words(text, text_format.granularity)
    else:
        if any(not isinstance(word, str) for word in text):
            return split_words("?", "words"), "its words are no texts", 0
        sentence = join_words(text, " " if text_format.word_separator == "space" else "")
    spans, problem, repaired = _spans(sentence, annotation, isinstance(text, str), scheme)
    return replace(sentence, levels=levels_of(spans)), problem, repaired


def _spans(sentence: Sentence, annotation: list[Any], plain: bool, scheme: Scheme) -> tuple[list[Span], str, int]:
    """Entities in words, what is wrong with them ("": nothing), and the number of tags repaired."""
    if annotation and isinstance(annotation[0], str):
        tags = [str(tag) for tag in annotation]
        if len(tags) != len(sentence):
            return [], f"{len(sentence)} words have {len(tags)} tags", 0
        spans, repaired, problem = read_repaired(tags, scheme)
        return spans, "" if problem is None else f"tag {problem[0]}: {problem[1]}", repaired
    spans = []
    for entity in annotation:
        if isinstance(entity, int | np.integer):
            return [], "its tags are numbers; give their names, as [names[tag] for tag in tags]", 0
        if isinstance(entity, str) or len(entity) != 3:
            return [], f"{entity!r} is no entity (start, stop, type)", 0
        start, stop, kind = entity
        words = words_within(sentence, int(start), int(stop)) if plain else (int(start), int(stop))
        if words is None or not 0 <= words[0] < words[1] <= len(sentence):
            return [], f"entity {tuple(entity)} does not begin and end with words of the text", 0
        spans.append(Span(*words, str(kind)))
    return spans, "", 0
