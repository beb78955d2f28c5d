"""A trained recogniser of named entities: text in, entities with type, place and score out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nlp_tasks.checkpoint import load_parts, open_task, save_parts
from nlp_tasks.tagging.config import Joint, LexiconConfig, NerHeadConfig, SentenceLengthConfig, Units
from nlp_tasks.tagging.inputs import Listed, UnitInputs, read_sentences
from nlp_tasks.tagging.lexicon import Lexicon
from nlp_tasks.tagging.metrics import level_metrics, span_metrics
from nlp_tasks.tagging.model import NerModel, find
from nlp_tasks.tagging.mrc import as_examples, asks, nested
from nlp_tasks.tagging.sentences import Sentence, cut
from nlp_tasks.tagging.words import WORD_PARTS
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError

TASK = "recogniser"


class Found(NamedTuple):
    """An entity in a text."""

    text: str
    """``whole_text[start:stop]``."""

    type: str
    """Its type."""

    start: int
    """First character."""

    stop: int
    """One past the last character."""

    score: float
    """Probability that exactly this entity is there, in [0, 1]."""


@dataclass
class Tagger:
    """Finds named entities.

    Make one with ``load``, or train it with ``pipelines.text.tag.train``.
    """

    model: NerModel
    tokenizer: Tokenizer
    types: list[str]
    length: SentenceLengthConfig
    units: Units
    """What plain text is cut into, ``words`` or ``characters``."""

    lexicon: Lexicon | None = None
    """Words that the model reads beside units; None: it reads none."""

    questions: Sequence[str] = ()
    """One for every type, where the head asks."""

    word_separator: Joint = "auto"
    """What stands between the words of a conll file, as in training; ``auto`` where an older training did not say."""

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, sentences: Sequence[Sentence]) -> UnitInputs:
        """Rows that the encoder reads of sentences."""
        questions = self.questions if asks(self.model.head) else ()
        if questions and self.lexicon is not None:
            raise InputError(
                "a head that asks questions reads no words of a lexicon; leave out words, or take another."
            )
        units = read_sentences(self.tokenizer, sentences, self.length, self.max_len, questions)
        if self.lexicon is None:
            return units
        return replace(units, words=Listed(self.lexicon.matches(sentences), len(sentences)))

    def find(self, texts: Sequence[str]) -> list[list[Found]]:
        """Entities of each text, by place."""
        return self.find_in([cut(text, self.units) for text in texts])

    def find_in(self, sentences: Sequence[Sentence]) -> list[list[Found]]:
        """The same, for sentences that are cut already; one without a unit has none."""
        rows = [row for row, sentence in enumerate(sentences) if len(sentence)]
        answers: list[list[Found]] = [[] for _ in sentences]
        if not rows:
            return answers
        entities, scores = self.entities(self.inputs([sentences[row] for row in rows]))
        for (number, start, stop, kind), score in zip(entities.tolist(), scores.tolist(), strict=True):
            sentence = sentences[rows[number]]
            first, last = sentence.characters(start, stop)
            answers[rows[number]].append(Found(sentence.text[first:last], self.types[kind], first, last, score))
        return answers

    def entities(self, inputs: UnitInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Entities ``[k, 4]`` (sentence, first unit, one past the last, type) and their scores ``[k]``."""
        return find(self.model, inputs)

    def score(self, found: NDArray[np.int64], true: NDArray[np.int64], sentences: int) -> dict[str, Any]:
        """Strict measures of what was found; see ``span_metrics`` and, for nested entities, ``level_metrics``."""
        levels = level_metrics(true, found, self.types, sentences) if nested(self.model.head) else {}
        return span_metrics(true, found, self.types, sentences) | levels

    def true(self, sentences: Sequence[Sentence]) -> NDArray[np.int64]:
        """Entities that this model should find, ``[k, 4]``: the outermost, or those of all levels."""
        return rows_of(sentences, self.types, nested=nested(self.model.head))

    def targets(self, true: NDArray[np.int64]) -> NDArray[np.int64]:
        """Entities of sentences as those of the model's examples."""
        return as_examples(true, len(self.types)) if asks(self.model.head) else true

    def beyond(self, sentences: Sequence[Sentence]) -> int:
        """Entities within others, where this model neither learns nor finds them."""
        return 0 if nested(self.model.head) else sum(len(level) for one in sentences for level in one.levels[1:])

    def save(self, folder: Path, head: NerHeadConfig, words: LexiconConfig | None = None) -> None:
        """Write the recogniser to ``folder``, whole or not at all; ``head`` and ``words`` as the model was built."""
        about = {"head": asdict(head), "length": asdict(self.length), "types": self.types, "units": self.units}
        about |= {"questions": list(self.questions), "word_separator": self.word_separator}
        lexicon, also = self.lexicon, None
        if lexicon is not None and words is not None:
            about["words"] = {"name": words.name, "options": words.options, "min_count": words.min_count}
            also = lexicon.save
        save_parts(folder, TASK, self.model, self.model.encoder, self.tokenizer, about, also)

    @classmethod
    def load(cls, folder: Path) -> "Tagger":
        """Open a run folder of ``text tag train``.

        Raises:
            InputError: It holds no recogniser, or a damaged one.
        """
        folder, about = open_task(folder, TASK)
        try:
            head, length = NerHeadConfig(**about["head"]), SentenceLengthConfig(**about["length"])
            types, units, questions = list(about["types"]), about["units"], list(about["questions"])
            word_separator = about.get("word_separator", "auto")
            encoder, lexicon, part = Encoder.load(folder), None, None
            if words := about.get("words"):
                lexicon = Lexicon.load(folder, words["min_count"])
                part = word_part(LexiconConfig(**words), encoder.out_dim, lexicon)
            model = NerModel(encoder, head, len(types), words=part)
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        load_parts(model, folder)
        return cls(model.eval(), Tokenizer.load(folder), types, length, units, lexicon, questions, word_separator)


def word_part(config: LexiconConfig, dim: int, lexicon: Lexicon) -> nn.Module:
    """What the words of a lexicon add to units that are ``dim`` wide; its table starts on the lexicon's vectors."""
    part: nn.Module = build("word part", config.name, WORD_PARTS, dim, lexicon.counts, options=config.options)
    if lexicon.vectors is not None:
        table = getattr(part, "words", None)
        if not isinstance(table, nn.Embedding):
            raise InputError(f"word part {config.name!r} has no nn.Embedding 'words'; leave words.vectors out.")
        start_rows(table, lexicon.names, lexicon.vectors, "words.options width")
    return part


def longest(config: SentenceLengthConfig, encoder: EncoderConfig) -> int:
    """Longest row that is read.

    Raises:
        InputError: More than the encoder can.
    """
    if config.max_len is not None and config.max_len > encoder.max_len:
        raise InputError(f"length.max_len is {config.max_len}; this encoder reads {encoder.max_len} tokens at most.")
    return config.max_len or encoder.max_len


def rows_of(sentences: Sequence[Sentence], types: Sequence[str], *, nested: bool = False) -> NDArray[np.int64]:
    """Outermost entities of sentences, or all of them, as ``[k, 4]``: sentence, first unit, one past the last, type."""
    number = {kind: n for n, kind in enumerate(types)}
    rows = [
        (row, start, stop, number[kind])
        for row, sentence in enumerate(sentences)
        for start, stop, kind in (sentence.entities if nested else sentence.levels[0])
    ]
    return np.array(rows, np.int64).reshape(-1, 4)
