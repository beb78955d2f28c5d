"""Tagger: texts in, entities with type, position and score out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from nlp_tasks.checkpoint import load_parts, open_task, save_parts
from nlp_tasks.export.exportable import Target, export
from nlp_tasks.export.heads import token_classifier
from nlp_tasks.splits import VALIDATION_SHARE, hold_out
from nlp_tasks.tagging.config import (
    Granularity,
    LexiconConfig,
    SentenceLengthConfig,
    TaggingHeadConfig,
    TaggingTrainConfig,
    WordSeparator,
)
from nlp_tasks.tagging.data import AnnotatedSentences, Annotations, TextFormat, Texts, as_sentences, evaluation_parts
from nlp_tasks.tagging.entities import Entity, entity_rows, to_entities, unseen_types
from nlp_tasks.tagging.inputs import RaggedRows, WordInputs, longest, read_sentences
from nlp_tasks.tagging.lexicon.build import lexicon_layer, warn_without_matches
from nlp_tasks.tagging.lexicon.lexicon import Lexicon
from nlp_tasks.tagging.model import TaggingModel, encode_words, predict_entities
from nlp_tasks.tagging.mrc import is_mrc, is_nested, read_queries
from nlp_tasks.tagging.pu.training import train_from_dictionary
from nlp_tasks.tagging.sentences import Sentence, sentences_as_read
from nlp_tasks.tagging.training import (
    TaggingTraining,
    build_model,
    make_training,
    training_record,
    training_types,
    with_known_types,
)
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import train_task
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import allowing_parts, saved_parts
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.evaluation.spans import level_metrics, span_metrics
from recsys_bert.settings import make_config
from recsys_bert.settings_types import check_settings
from recsys_bert.training.hidden_test import visible

TASK = "tagger"
_SAVED = {TaggingHeadConfig: "head", SentenceLengthConfig: "length", LexiconConfig: "lexicon"}


@dataclass
class Tagger:
    """Tagger: named entity recognition.

    ::

        tagger = Tagger.train(["Ada saw Rome", …], [[(0, 3, "PER"), (8, 12, "LOC")], …])
        tagger.predict(["Eve is in Oslo"])  # [[Entity("Eve", "PER", 0, 3, 0.98), …]]
        tagger.save("models/names")
    """

    model: TaggingModel
    tokenizer: Tokenizer
    types: list[str]
    length: SentenceLengthConfig
    granularity: Granularity
    """Plain text is split into ``words`` or ``characters``."""

    word_separator: WordSeparator = "auto"
    """Separator of the words of lists and of conll files, as in training."""

    lexicon: Lexicon | None = None
    """Lexicon of the model's lexicon layer; None: it has none."""

    queries: Sequence[str] = ()
    """One query per type, for MRC tagging."""

    lexicon_config: LexiconConfig = field(default_factory=LexiconConfig)
    """Settings of the lexicon layer."""

    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded tagger."""

    @classmethod
    def train(
        cls,
        texts: Texts,
        entities: Annotations | None,
        *,
        validation: tuple[Texts, Annotations] | float | None = None,
        test: tuple[Texts, Annotations] | None = None,
        scheme: str | None = None,
        out: Path | None = None,
        config: TaggingTrainConfig | None = None,
        allow_parts: bool = False,
        **settings: Any,
    ) -> "Tagger":
        """Train a tagger.

        Args:
            texts: Training texts; or sentences as lists of words.
            entities: Per text, ``(start, stop, type)`` in characters; with lists of words in words, or one tag per
                word. None: entities are learned from the dictionary ``pu={"dictionary": file}``.
            validation: Texts and entities that pick the epoch, or the share of the training texts to hold out for it;
                None: 0.1, or nothing with a dictionary.
            test: Texts and entities; evaluated once, after training.
            scheme: Tag scheme, where entities are tags; None goes by their letters.
            out: Run folder, as of `text tag train`; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            allow_parts: Import parts from outside (``module:Class``) that the run of ``init`` names; their code runs.
            settings: Or single ones, as in a recipe: ``train={"epochs": 3}, head={"name": "softmax"}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(TaggingTrainConfig, config, settings)
        if entities is None and config.pu.dictionary is None:
            raise InputError("entities is None; give entities, or a dictionary: pu={'dictionary': file}.")
        train = as_sentences(texts, entities, TextFormat(scheme=scheme))
        text_format = TextFormat(train.granularity, train.word_separator, scheme)
        parts, share = evaluation_parts(validation, test, text_format)
        with allowing_parts(allow_parts):
            return train_tagger({"train": train, **parts}, config, out, share)

    @classmethod
    def load(cls, folder: Path, *, allow_parts: bool = False) -> "Tagger":
        """Load a run folder of a tagger, or a folder that ``save`` wrote.

        Args:
            folder: The folder.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: It holds no tagger, or a damaged one.
        """
        folder, about = open_task(folder, TASK)
        try:
            for kind, name in _SAVED.items():
                check_settings(kind, about[name], f"{folder}/task.json")
            for name, known in (("granularity", get_args(Granularity)), ("word_separator", get_args(WordSeparator))):
                if about[name] not in known:
                    raise unknown_name(name, str(about[name]), known)
            head, length = TaggingHeadConfig(**about["head"]), SentenceLengthConfig(**about["length"])
            lexicon_config = LexiconConfig(**about["lexicon"])
            types, queries = list(about["types"]), list(about["queries"])
            granularity, word_separator = about["granularity"], about["word_separator"]
            with allowing_parts(allow_parts), saved_parts(folder):
                encoder, lexicon, layer = Encoder.load(folder), None, None
                if lexicon_config.name != "none":
                    lexicon = Lexicon.load(folder, lexicon_config.min_count)
                    layer = lexicon_layer(lexicon_config, encoder.out_dim, lexicon)
                model = TaggingModel(encoder, head, len(types), lexicon=layer)
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        load_parts(model, folder)
        tokenizer = Tokenizer.load(folder)
        formats = granularity, word_separator
        return cls(model.eval(), tokenizer, types, length, *formats, lexicon, queries, lexicon_config)

    def save(self, folder: Path) -> None:
        """Write the tagger to ``folder``, all or nothing."""
        lexicon = self.lexicon_config
        about = {
            "head": asdict(self.model.head_config),
            "length": asdict(self.length),
            "types": self.types,
            "granularity": self.granularity,
            "word_separator": self.word_separator,
            "queries": list(self.queries),
            "lexicon": {"name": lexicon.name, "options": lexicon.options, "min_count": lexicon.min_count},
        }
        also = None if self.lexicon is None else self.lexicon.save
        save_parts(Path(folder), TASK, self.model, self.model.encoder, self.tokenizer, about, also)

    def export(self, folder: Path | str, to: Target = "transformers") -> Path:
        """Write a folder that transformers, sentence-transformers or onnxruntime opens, with the same outputs.

        Longer texts than ``model_max_length`` are cut to their beginning there, whatever ``length`` does here.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``transformers`` or ``onnx``; the head must be ``softmax``.

        Raises:
            InputError: The other side has no such model; the message names every reason.
        """
        return export(token_classifier(self.model, self.tokenizer, self.max_len, self.types), folder, to)

    def predict(self, texts: Texts) -> list[list[Entity]]:
        """Predict the entities of each text, by position; in lists of words, of the words joined."""
        texts = texts if isinstance(texts, str) else list(texts)
        return self.predict_sentences(self._sentences(texts).sentences) if texts else []

    def evaluate(self, texts: Texts, entities: Annotations, *, scheme: str | None = None) -> dict[str, Any]:
        """Strict metrics on annotated texts, as in ``train``; see ``span_metrics`` and ``level_metrics``.

        Raises:
            InputError: Texts and entities that do not fit, or a type that does not occur in training.
        """
        sentences = self._sentences(texts, entities, scheme=scheme).sentences
        if reason := next(filter(None, unseen_types(sentences, self.types, nested=is_nested(self.model.head))), None):
            raise InputError(f"{reason}; the types are {', '.join(self.types)}.")
        predicted, _ = self.predict_spans(self.inputs(sentences))
        return self.metrics(predicted, self.true_spans(sentences), len(sentences))

    def encode(self, texts: Texts) -> list[NDArray[np.float32]]:
        """Vectors of every text's words, ``[words, dim]`` each: the input of the head; with MRC tagging, by type."""
        texts = texts if isinstance(texts, str) else list(texts)
        return encode_words(self.model, self.inputs(self._sentences(texts).sentences)) if texts else []

    def _sentences(
        self, texts: Texts, entities: Annotations | None = None, *, scheme: str | None = None
    ) -> AnnotatedSentences:
        text_format = TextFormat(self.granularity, self.word_separator, scheme)
        return as_sentences(texts, entities, text_format, name="given", allow_empty=entities is None)

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
        matches = self.lexicon.matches(sentences_as_read(sentences, self.tokenizer.as_read))
        return replace(words, matches=RaggedRows(matches, len(sentences)))

    def predict_sentences(self, sentences: Sequence[Sentence]) -> list[list[Entity]]:
        """Predict the entities of sentences in words; an empty sentence has none."""
        rows = [row for row, sentence in enumerate(sentences) if len(sentence)]
        if not rows:
            return [[] for _ in sentences]
        spans, scores = self.predict_spans(self.inputs([sentences[row] for row in rows]))
        spans[:, 0] = np.array(rows)[spans[:, 0]]
        return to_entities(sentences, self.types, spans, scores)

    def predict_spans(self, inputs: WordInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict entities ``[k, 4]`` (sentence, first word, one past the last, type) and their scores ``[k]``."""
        return predict_entities(self.model, inputs)

    def metrics(self, predicted: NDArray[np.int64], true: NDArray[np.int64], sentences: int) -> dict[str, Any]:
        """Strict metrics of predictions; see ``span_metrics`` and, for nested entities, ``level_metrics``."""
        levels = level_metrics(true, predicted, self.types, sentences) if is_nested(self.model.head) else {}
        return span_metrics(true, predicted, self.types, sentences) | levels

    def true_spans(self, sentences: Sequence[Sentence]) -> NDArray[np.int64]:
        """Annotated entities ``[k, 4]`` that this model can predict: the outermost, or those of all levels."""
        return entity_rows(sentences, self.types, nested=is_nested(self.model.head))

    def count_inner(self, sentences: Sequence[Sentence]) -> int:
        """Number of nested entities that a flat model neither learns nor predicts."""
        return 0 if is_nested(self.model.head) else sum(len(level) for one in sentences for level in one.levels[1:])


def train_tagger(
    parts: Mapping[str, AnnotatedSentences],
    config: TaggingTrainConfig,
    out: Path | None = None,
    validation_share: float = VALIDATION_SHARE,
) -> Tagger:
    """Train on annotated sentences; see ``Tagger.train``.

    Args:
        parts: ``train`` and, as far as there are any, ``validation`` and ``test``.
        config: All settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.
        validation_share: Share of ``train`` to hold out where there is no ``validation``; not with a dictionary.
    """
    parts = visible(parts)
    if config.pu.dictionary is not None:
        tagger, results = train_from_dictionary(parts, config, out, build_training)
        tagger.results = results
        return tagger
    nested = config.head.options.get("nested") is True
    types = training_types(parts["train"], nested=nested)
    queries = read_queries(config.queries, types)
    splits = with_known_types(parts, types, nested=nested)
    if "validation" not in splits:  # only now: a rare type may fall into one part alone
        splits["train"], splits["validation"] = hold_out(splits["train"], validation_share, config.train.seed)
    tagger, training = build_training(splits, config, types, queries)
    tagger.results = train_task(training.task, config, out)
    return tagger


def build_training(
    parts: Mapping[str, AnnotatedSentences],
    config: TaggingTrainConfig,
    types: list[str],
    queries: Sequence[str] = (),
) -> tuple[Tagger, TaggingTraining]:
    """Build an untrained tagger and its training; see ``train_tagger``.

    Raises:
        InputError: Data or settings that do not fit.
    """
    train = parts["train"]
    model, tokenizer, lexicon = build_model(config, train, types, queries)
    formats = train.granularity, train.word_separator
    tagger = Tagger(model, tokenizer, types, config.length, *formats, lexicon, queries, config.lexicon)
    inputs = {name: tagger.inputs(part.sentences) for name, part in parts.items()}
    if (matches := inputs["train"].matches) is not None:
        warn_without_matches(matches, train)
    true = {name: tagger.true_spans(part.sentences) for name, part in parts.items()}
    n_inner = {name: tagger.count_inner(part.sentences) for name, part in parts.items()}
    training = make_training(
        config,
        model,
        types,
        parts,
        inputs,
        true,
        kind=TASK,
        evaluate=lambda name: tagger.metrics(tagger.predict_spans(inputs[name])[0], true[name], len(parts[name])),
        record=lambda: training_record(parts, inputs, n_inner, lexicon),
        save=tagger.save,
    )
    return tagger, training
