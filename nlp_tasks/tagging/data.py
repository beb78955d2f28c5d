"""Annotated sentences: texts or words with entities, as the tagger takes them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nlp_tasks.examples import count_or_refuse, not_empty
from nlp_tasks.tagging.config import Granularity, WordSeparator
from nlp_tasks.tagging.schemes import Span, find_scheme, read_tags
from nlp_tasks.tagging.sentences import Sentence, join_words, levels_of, split_words, words_within
from nlp_tasks.tokenization import mostly_chinese
from recsys_bert.errors import InputError

SAMPLE = 2000
"""Sentences by which ``auto`` settings are decided."""

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

    flags: str = "data"
    """Prefix of the settings by which the file is read, for messages."""

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int]) -> "AnnotatedSentences":
        """Select sentences."""
        return replace(self, lines=[self.lines[row] for row in rows], sentences=[self.sentences[row] for row in rows])

    def without(self, reasons: Sequence[str], policy: str) -> "AnnotatedSentences":
        """Leave out the sentences with a reason.

        Args:
            reasons: ``[n]``, "" for a sentence that stays.
            policy: ``raise`` or ``drop``.

        Raises:
            InputError: There is one, and the policy is ``raise``; or nothing stays.
        """
        bad = [(line, reason) for line, reason in zip(self.lines, reasons, strict=True) if reason]
        left_out = Counter(self.left_out) + count_or_refuse(self.path, bad, policy, self.flags)
        good = self.take([row for row, reason in enumerate(reasons) if not reason])
        return not_empty(replace(good, left_out=dict(left_out)), "sentence")


def as_sentences(
    texts: Texts,
    entities: Annotations | None = None,
    *,
    granularity: Granularity = "auto",
    word_separator: WordSeparator = "auto",
    scheme: str = "iob2",
    name: str = "texts",
) -> AnnotatedSentences:
    """Annotated sentences of Python values.

    Args:
        texts: Plain texts, which are split into words; or sentences as lists of words.
        entities: Per text, ``(start, stop, type)`` in characters of the text, or in words where a text is a list of
            words, which may have one tag per word instead; None: no entities.
        granularity: ``words`` or ``characters`` of plain text; ``auto`` takes characters for mostly Chinese text.
        word_separator: ``space`` or ``none`` between the words of lists; ``auto`` takes none for mostly Chinese text.
        scheme: Tag scheme, where entities are tags.
        name: Name of the argument, for messages.

    Raises:
        InputError: A text is empty, there are more texts than entities or fewer, an entity does not begin and end with
            words, or a tag is not valid.
    """
    texts = list(texts)
    if entities is not None and len(entities) != len(texts):
        raise InputError(f"{name}: {len(texts):,} texts have {len(entities):,} lists of entities; give one per text.")
    chinese = mostly_chinese(text if isinstance(text, str) else "".join(text) for text in texts[:SAMPLE])
    if granularity == "auto":
        granularity = "characters" if chinese else "words"
    if word_separator == "auto":
        word_separator = "none" if chinese or granularity == "characters" else "space"
    separator = " " if word_separator == "space" else ""
    sentences, problems = [], []
    for number, text in enumerate(texts):
        plain = isinstance(text, str)
        sentence = split_words(text, granularity) if isinstance(text, str) else join_words(text, separator)
        if not len(sentence):
            problems.append((number, "it has no words"))
        elif entities is not None:
            spans, problem = _spans(sentence, entities[number], plain, scheme)
            sentence = replace(sentence, levels=levels_of(spans))
            problems += [(number, problem)] if problem else []
        sentences.append(sentence)
    if problems:
        number, problem = problems[0]
        raise InputError(f"{name}[{number}]: {problem}; {len(problems):,} such texts in all.")
    lines = list(range(1, len(sentences) + 1))
    return not_empty(AnnotatedSentences(Path(name), lines, sentences, granularity, word_separator), "sentence")


def _spans(
    sentence: Sentence, annotation: Sequence[tuple[int, int, str]] | Sequence[str], plain: bool, scheme: str
) -> tuple[list[Span], str]:
    """Entities in words, and what is wrong with them ("": nothing)."""
    if annotation and isinstance(annotation[0], str):
        tags = [str(tag) for tag in annotation]
        if len(tags) != len(sentence):
            return [], f"{len(sentence)} words have {len(tags)} tags"
        spans, problem = read_tags(tags, find_scheme(scheme))
        return spans, "" if problem is None else f"tag {problem[0]}: {problem[1]}"
    spans = []
    for entity in annotation:
        if isinstance(entity, str) or len(entity) != 3:
            return [], f"{entity!r} is no entity (start, stop, type)"
        start, stop, kind = entity
        words = words_within(sentence, int(start), int(stop)) if plain else (int(start), int(stop))
        if words is None or not 0 <= words[0] < words[1] <= len(sentence):
            return [], f"entity {tuple(entity)} does not begin and end with words of the text"
        spans.append(Span(*words, str(kind)))
    return spans, ""


def types_of(sentences: Sequence[Sentence], *, nested: bool = False) -> list[str]:
    """Sorted types of the outermost entities, or of all of them."""
    return sorted({entity.type for one in sentences for entity in (one.entities if nested else one.levels[0])})


def unseen_types(sentences: Sequence[Sentence], known: Sequence[str], *, nested: bool = False) -> list[str]:
    """Reason why a sentence cannot be evaluated, an entity of unknown type; "" where it can.

    Args:
        sentences: The sentences.
        known: Types of the training sentences.
        nested: Include nested entities.
    """
    known_types = set(known)
    unseen = [next((t for t in types_of([one], nested=nested) if t not in known_types), None) for one in sentences]
    return ["" if kind is None else f"entity type {kind!r} does not occur in training" for kind in unseen]
