"""A tagger's training, built and checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_tasks.config import check_encoder
from nlp_tasks.encoders import make_text_encoder, start_contents
from nlp_tasks.splits import contents
from nlp_tasks.tagging.batches import WordBatches
from nlp_tasks.tagging.config import TaggingTrainConfig
from nlp_tasks.tagging.data import AnnotatedSentences
from nlp_tasks.tagging.entities import types_of, unseen_types
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.inputs import WordInputs
from nlp_tasks.tagging.lexicon.build import count_lexicon, lexicon_layer
from nlp_tasks.tagging.lexicon.lexicon import Lexicon
from nlp_tasks.tagging.model import TaggingLoss, TaggingModel
from nlp_tasks.tagging.mrc import as_examples, is_mrc
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import TaskTraining, nonempty
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint


@dataclass(frozen=True, kw_only=True)
class TaggingTraining:
    """Model, inputs and targets of a training; nothing is written yet."""

    model: TaggingModel
    types: Sequence[str]

    parts: Mapping[str, AnnotatedSentences]
    """Sentences of every split."""

    inputs: Mapping[str, WordInputs]
    """Encoder inputs of every split."""

    true: Mapping[str, NDArray[np.int64]]
    """Entities of every split, ``[k, 4]``."""

    task: TaskTraining
    """The training loop's parts."""

    steps: int
    """Batches per epoch."""


def config_contents(config: TaggingTrainConfig) -> dict[Path, str]:
    """Fingerprint of every file that the settings name, by path."""
    lexicon = config.lexicon
    files = (config.queries, config.pu.dictionary, lexicon.file, lexicon.vectors, *lexicon.text)
    contents = {path: fingerprint([path]) for path in files if path is not None}
    return contents | start_contents(config.init, config.tokenizer)


def training_types(train: AnnotatedSentences, *, nested: bool) -> list[str]:
    """Types of the training sentences' entities: the outermost, or all of them.

    Raises:
        InputError: There are none.
    """
    types = types_of(train.sentences, nested=nested)
    if not types:
        raise InputError(f"none of the {len(train):,} training sentences of {train.path} has an entity.")
    return types


def with_known_types(
    parts: Mapping[str, AnnotatedSentences], types: Sequence[str], *, nested: bool
) -> dict[str, AnnotatedSentences]:
    """Refuse, or drop and count, sentences with a type that does not occur in training."""
    return {name: part.without(unseen_types(part.sentences, types, nested=nested)) for name, part in parts.items()}


def build_model(
    config: TaggingTrainConfig, train: AnnotatedSentences, types: Sequence[str], queries: Sequence[str]
) -> tuple[TaggingModel, Tokenizer, Lexicon | None]:
    """Build an untrained model, its tokenizer and its lexicon.

    Raises:
        InputError: Settings that do not fit each other or the data.
    """
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.tokenizer, _tokenizer_texts(train, config, queries)
    )
    lexicon = count_lexicon(config.lexicon, train, tokenizer.as_read)
    layer = None if lexicon is None else lexicon_layer(config.lexicon, encoder.out_dim, lexicon)
    auxiliary = config.train.auxiliary.weight > 0
    return TaggingModel(encoder, config.head, len(types), lexicon=layer, auxiliary=auxiliary), tokenizer, lexicon


def _tokenizer_texts(train: AnnotatedSentences, config: TaggingTrainConfig, queries: Sequence[str]) -> list[str]:
    """Texts to train the tokenizer on: words are tokenized one by one, so they stand apart."""
    head = find("tagging head", config.head.name, TAGGING_HEADS)
    check_encoder(config.encoder, pairs=is_mrc(head))
    texts = [" ".join(sentence.words()) for sentence in train.sentences]
    if is_mrc(head):  # else queries might be of unknown tokens alone
        return texts + list(queries) * config.tokenizer.min_count
    if config.queries is not None or config.negative_share != 1:
        raise InputError(
            f"the head {config.head.name!r} has no queries; leave out queries and negative_share, or set "
            "head.name = 'mrc'."
        )
    return texts


def make_training(
    config: TaggingTrainConfig,
    model: TaggingModel,
    types: Sequence[str],
    parts: Mapping[str, AnnotatedSentences],
    inputs: Mapping[str, WordInputs],
    true: Mapping[str, NDArray[np.int64]],
    *,
    kind: str,
    evaluate: Callable[[str], dict[str, Any]],
    record: Callable[[], dict[str, Any]],
    save: Callable[[Path], None],
) -> TaggingTraining:
    """Training of a model on its inputs; see ``TaggingTraining`` and ``TaskTraining``."""
    batches = WordBatches(
        inputs["train"],
        as_examples(true["train"], len(types)) if is_mrc(model.head) else true["train"],
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        negative_share=config.negative_share,
    )
    task = TaskTraining(
        kind=kind,
        loss=TaggingLoss(model, config.train.auxiliary.weight),
        model=model,
        batches=batches,
        sources=contents(parts.values()) | config_contents(config),
        splits=[name for name in ("validation", "test") if name in parts],
        evaluate=evaluate,
        record=record,
        save=save,
    )
    return TaggingTraining(
        model=model, types=types, parts=parts, inputs=inputs, true=true, task=task, steps=batches.steps
    )


def training_record(
    parts: Mapping[str, AnnotatedSentences],
    inputs: Mapping[str, WordInputs],
    n_inner: Mapping[str, int],
    lexicon: Lexicon | None,
) -> dict[str, Any]:
    """Entries of ``metrics.json``: numbers of sentences, counts by split, counts of the lexicon."""
    counts = {name: {**part.left_out, **part.repaired, **inputs[name].inputs.counts} for name, part in parts.items()}
    for name, n in n_inner.items():
        if n:
            counts[name]["inner_entities_not_learned"] = n
    record = {"examples": {name: len(part) for name, part in parts.items()}, "counted": nonempty(counts)}
    return record if lexicon is None else record | {"lexicon": lexicon.counted}
