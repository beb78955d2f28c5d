"""Tagger: texts in, entities with type, position and score out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nlp_tasks.checkpoint import load_parts, open_task, save_parts
from nlp_tasks.tagging.config import Granularity, LexiconConfig, SentenceLengthConfig, TaggingHeadConfig, WordSeparator
from nlp_tasks.tagging.inputs import RaggedRows, WordInputs, read_sentences
from nlp_tasks.tagging.lexicon import LEXICON_LAYERS
from nlp_tasks.tagging.lexicon.lexicon import Lexicon
from nlp_tasks.tagging.model import TaggingModel, predict_entities
from nlp_tasks.tagging.mrc import as_examples, is_mrc, is_nested
from nlp_tasks.tagging.sentences import Sentence, split_words
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError
from recsys_bert.evaluation.spans import level_metrics, span_metrics

TASK = "tagger"


class Entity(NamedTuple):
    """An entity in a text."""

    text: str
    """``full_text[start:stop]``."""

    type: str
    """Its type."""

    start: int
    """First character."""

    stop: int
    """One past the last character."""

    score: float
    """Probability of exactly this entity, in [0, 1]."""


@dataclass
class Tagger:
    """A trained tagger; open one with ``load``, or train one with ``pipelines.text.tag.train``."""

    model: TaggingModel
    tokenizer: Tokenizer
    types: list[str]
    length: SentenceLengthConfig
    granularity: Granularity
    """Plain text is split into ``words`` or ``characters``."""

    lexicon: Lexicon | None = None
    """Lexicon of the model's lexicon layer; None: it has none."""

    queries: Sequence[str] = ()
    """One query per type, for MRC tagging."""

    word_separator: WordSeparator = "auto"
    """Separator of the words of a conll file, as in training."""

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, sentences: Sequence[Sentence]) -> WordInputs:
        """Encoder inputs of sentences."""
        queries = self.queries if is_mrc(self.model.head) else ()
        if queries and self.lexicon is not None:
            raise InputError("MRC tagging has no lexicon layer; leave out lexicon, or set another head.name.")
        words = read_sentences(self.tokenizer, sentences, self.length, self.max_len, queries)
        if self.lexicon is None:
            return words
        return replace(words, matches=RaggedRows(self.lexicon.matches(sentences), len(sentences)))

    def predict(self, texts: Sequence[str]) -> list[list[Entity]]:
        """Predict the entities of each text, by position."""
        return self.predict_sentences([split_words(text, self.granularity) for text in texts])

    def predict_sentences(self, sentences: Sequence[Sentence]) -> list[list[Entity]]:
        """Predict the entities of sentences in words; an empty sentence has none."""
        rows = [row for row, sentence in enumerate(sentences) if len(sentence)]
        predictions: list[list[Entity]] = [[] for _ in sentences]
        if not rows:
            return predictions
        spans, scores = self.predict_spans(self.inputs([sentences[row] for row in rows]))
        for (number, start, stop, kind), score in zip(spans.tolist(), scores.tolist(), strict=True):
            sentence = sentences[rows[number]]
            first, last = sentence.characters(start, stop)
            entity = Entity(sentence.text[first:last], self.types[kind], first, last, score)
            predictions[rows[number]].append(entity)
        return predictions

    def predict_spans(self, inputs: WordInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict entities ``[k, 4]`` (sentence, first word, one past the last, type) and their scores ``[k]``."""
        return predict_entities(self.model, inputs)

    def metrics(self, predicted: NDArray[np.int64], true: NDArray[np.int64], sentences: int) -> dict[str, Any]:
        """Strict metrics of predictions; see ``span_metrics`` and, for nested entities, ``level_metrics``."""
        levels = level_metrics(true, predicted, self.types, sentences) if is_nested(self.model.head) else {}
        return span_metrics(true, predicted, self.types, sentences) | levels

    def true_spans(self, sentences: Sequence[Sentence]) -> NDArray[np.int64]:
        """Annotated entities ``[k, 4]`` that this model can predict: the outermost, or those of all levels."""
        return rows_of(sentences, self.types, nested=is_nested(self.model.head))

    def targets(self, true: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map entities of sentences to those of the model's examples."""
        return as_examples(true, len(self.types)) if is_mrc(self.model.head) else true

    def count_inner(self, sentences: Sequence[Sentence]) -> int:
        """Number of nested entities that a flat model neither learns nor predicts."""
        return 0 if is_nested(self.model.head) else sum(len(level) for one in sentences for level in one.levels[1:])

    def save(self, folder: Path, head: TaggingHeadConfig, lexicon: LexiconConfig | None = None) -> None:
        """Write the tagger to ``folder``, all or nothing; ``head`` and ``lexicon`` as the model was built."""
        about = {"head": asdict(head), "length": asdict(self.length), "types": self.types}
        about |= {"granularity": self.granularity, "word_separator": self.word_separator, "queries": list(self.queries)}
        also = None
        if self.lexicon is not None and lexicon is not None:
            about["lexicon"] = {"name": lexicon.name, "options": lexicon.options, "min_count": lexicon.min_count}
            also = self.lexicon.save
        save_parts(folder, TASK, self.model, self.model.encoder, self.tokenizer, about, also)

    @classmethod
    def load(cls, folder: Path) -> "Tagger":
        """Open a run folder of ``text tag train``.

        Raises:
            InputError: It holds no tagger, or a damaged one.
        """
        folder, about = open_task(folder, TASK)
        try:
            head, length = TaggingHeadConfig(**about["head"]), SentenceLengthConfig(**about["length"])
            types, queries = list(about["types"]), list(about["queries"])
            granularity, word_separator = about["granularity"], about["word_separator"]
            encoder, lexicon, layer = Encoder.load(folder), None, None
            if settings := about.get("lexicon"):
                lexicon = Lexicon.load(folder, settings["min_count"])
                layer = lexicon_layer(LexiconConfig(**settings), encoder.out_dim, lexicon)
            model = TaggingModel(encoder, head, len(types), lexicon=layer)
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        load_parts(model, folder)
        tokenizer = Tokenizer.load(folder)
        return cls(model.eval(), tokenizer, types, length, granularity, lexicon, queries, word_separator)


def lexicon_layer(config: LexiconConfig, dim: int, lexicon: Lexicon) -> nn.Module:
    """Build a lexicon layer for word vectors of ``dim``; its embedding starts on the lexicon's vectors."""
    layer: nn.Module = build("lexicon layer", config.name, LEXICON_LAYERS, dim, lexicon.counts, options=config.options)
    if lexicon.vectors is not None:
        table = getattr(layer, "embedding", None)
        if not isinstance(table, nn.Embedding):
            raise InputError(
                f"lexicon layer {config.name!r} has no nn.Embedding 'embedding'; leave lexicon.vectors out."
            )
        start_rows(table, lexicon.names, lexicon.vectors, "lexicon.options width")
    return layer


def longest(config: SentenceLengthConfig, encoder: EncoderConfig) -> int:
    """Longest row in tokens.

    Raises:
        InputError: Longer than the encoder's input.
    """
    if config.max_len is not None and config.max_len > encoder.max_len:
        raise InputError(f"length.max_len is {config.max_len}; this encoder reads {encoder.max_len} tokens at most.")
    return config.max_len or encoder.max_len


def rows_of(sentences: Sequence[Sentence], types: Sequence[str], *, nested: bool = False) -> NDArray[np.int64]:
    """Outermost entities, or all of them, as ``[k, 4]``: sentence, first word, one past the last, type."""
    number = {kind: n for n, kind in enumerate(types)}
    rows = [
        (row, start, stop, number[kind])
        for row, sentence in enumerate(sentences)
        for start, stop, kind in (sentence.entities if nested else sentence.levels[0])
    ]
    return np.array(rows, np.int64).reshape(-1, 4)
