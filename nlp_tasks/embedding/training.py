"""Training of a text encoder's vectors, on tables of texts or pairs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches
from nlp_tasks.embedding.config import EmbeddingTrainConfig, Loss, monitors
from nlp_tasks.embedding.data import (
    SECOND,
    Rows,
    Texts,
    graded,
    graded_rows,
    grades_of,
    match_rows,
    pair_table,
    pair_texts,
    text_numbers,
    text_rows,
)
from nlp_tasks.embedding.model import EmbeddingLoss
from nlp_tasks.encoders import find_encoder, make_text_encoder, start_contents
from nlp_tasks.examples import Table
from nlp_tasks.fine_tuning import check_monitor
from nlp_tasks.inputs import Inputs
from nlp_tasks.model import TextModel, outputs
from nlp_tasks.pooling import Pooling, prefix_and_case, read_sentence_transformer
from nlp_tasks.splits import contents, hold_out, parts_of
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import TaskTraining, nonempty, train_task
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.evaluation.text import search_metrics, similarity_metrics
from recsys_bert.files import replacing

TASK = "text_encoder"


Pairs = tuple[Texts, Texts] | tuple[Texts, Texts, Iterable[Any]]
"""First texts, second texts and, where there are any, scores."""


class Vectors(Protocol):
    """Text encoder as its training needs it."""

    results: dict[str, Any]
    model: TextModel

    def inputs(self, texts: Any) -> Inputs:
        """Rows that the encoder reads of texts."""

    def save(self, folder: Path | str) -> None:
        """Write it."""


TextVectors = TypeVar("TextVectors", bound=Vectors)
Make = Callable[[Encoder, Tokenizer, Pooling], TextVectors]


def train_text_encoder(
    make: "Make[TextVectors]", parts: Mapping[str, Table], config: EmbeddingTrainConfig, out: Path | None = None
) -> TextVectors:
    """Train on tables; see ``TextEncoder.train``.

    Args:
        make: Text encoder of an encoder, its tokenizer and its pooling.
        parts: ``train``, and ``validation`` and ``test`` as far as there are any.
        config: Settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.

    Raises:
        InputError: Data or settings that do not fit.
    """
    parts = {name: graded(table) for name, table in parts.items()}
    train = parts["train"]
    loss = config.task.settled(pairs=SECOND in train.texts, graded=train.labels is not None)
    if "validation" in parts:
        known = monitors(graded=parts["validation"].labels is not None)
        check_monitor(config.train, known)
        if config.train.monitor == "auto":  # so that a run's settings name the metric
            config = replace(config, train=replace(config.train, monitor=known[0]))
    encoder, training = build_training(make, parts, config, loss)
    encoder.results = train_task(training, config, out)
    return encoder


def embedding_parts(
    train: Table, validation: Pairs | float | None, test: Pairs | None, config: EmbeddingTrainConfig
) -> dict[str, Table]:
    """Parts of the data of a call; nothing is held out for simcse, whose texts judge no vectors."""
    seed = config.train.seed
    if (SECOND in train.texts and config.task.loss != "simcse") or isinstance(validation, tuple):
        return parts_of(train, validation, test, pair_table, seed, hold_out)
    if validation is not None:
        raise InputError(f"validation is {validation!r}; simcse is validated on a tuple of pairs and scores.")
    return {"train": train} if test is None else {"train": train, "test": pair_table(*test, "test")}


def build_training(
    make: "Make[TextVectors]", parts: Mapping[str, Table], config: EmbeddingTrainConfig, loss: Loss
) -> tuple[TextVectors, TaskTraining]:
    """Build an untrained text encoder and its training; see ``train_text_encoder``.

    Raises:
        InputError: Data or settings that do not fit.
    """
    if loss == "simcse" and not config.encoder.dropout:
        raise InputError(
            "encoder.dropout is 0, but SimCSE's two readings of a text differ by dropout alone; 0.1 is usual."
        )
    rows = training_rows(parts["train"], config, loss)
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, rows.texts)
    pooling = pooling_of(config, encoder)
    built = make(encoder, prefixed(config.init, tokenizer), pooling)
    model, auxiliary = built.model, config.train.auxiliary.weight
    trained = model if not auxiliary else TextModel(encoder, pooling.head, 0, pooling.length.pool, auxiliary=True)
    if auxiliary:
        trained.head = model.head  # one pooling, two losses
    inputs = {name: built.inputs(pair_texts(table)) for name, table in parts.items() if name != "train"}
    train_inputs = built.inputs(rows.texts)

    def evaluate(split: str) -> dict[str, Any]:
        vectors = outputs(model, inputs[split], "comparing texts")
        return vector_metrics(parts[split], vectors)

    def record() -> dict[str, Any]:
        counts = {name: {**table.left_out, **inputs[name].counts} for name, table in parts.items() if name in inputs}
        counts["train"] = {**parts["train"].left_out, **rows.counts, **train_inputs.counts}
        examples = {"train": len(rows.grades), **{name: len(parts[name]) for name in inputs}}
        return {"loss": loss, "pooling": pooling.head.name, "examples": examples, "counted": nonempty(counts)}

    def save(folder: Path) -> None:
        with replacing(folder, sealed=True) as temporary:
            built.save(temporary)

    training = TaskTraining(
        kind=TASK,
        loss=EmbeddingLoss(trained, loss, config.task.temperature, rows.width, auxiliary),
        model=model,
        batches=TextBatches(
            train_inputs,
            {"grades": rows.grades, "numbers": text_numbers(rows.texts, rows.width)},
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            texts=rows.width,
        ),
        sources=contents(parts.values()) | start_contents(config.init, config.tokenizer),
        splits=list(inputs),
        evaluate=evaluate,
        record=record,
        save=save,
    )
    return built, training


def training_rows(table: Table, config: EmbeddingTrainConfig, loss: Loss) -> Rows:
    """Texts of each training example for a loss."""
    if loss == "simcse":
        return text_rows(table)
    if loss == "in_batch":
        return match_rows(table, config.task, config.train.seed)
    return graded_rows(table, config.task)


def pooling_of(config: EmbeddingTrainConfig, encoder: Encoder) -> Pooling:
    """Pooling as set, or, where none is set, that of ``init``."""
    default = EmbeddingTrainConfig()
    saved = None if config.init is None or config.head != default.head else _pooling_of(config.init, encoder)
    if saved is None:
        return Pooling(head=config.head, weights=None, length=config.length)
    return saved if config.length == default.length else replace(saved, length=config.length)


def _pooling_of(init: Path, encoder: Encoder) -> Pooling | None:
    folder = find_encoder(init)
    return Pooling.load(folder, encoder.out_dim) or read_sentence_transformer(init, encoder.config.max_len)


def prefixed(init: Path | None, tokenizer: Tokenizer) -> Tokenizer:
    """Tokenizer with the prompt of a sentence-transformers folder before every text."""
    if init is None:
        return tokenizer
    prefix, lowercase = prefix_and_case(init)
    return tokenizer.with_prefix(prefix, lowercase=lowercase)


def vector_metrics(table: Table, vectors: NDArray[np.float32]) -> dict[str, Any]:
    """Metrics of the cosines of pairs.

    Args:
        table: Pairs, as ``graded`` returned them.
        vectors: ``[2 * pairs, dim]``, those of a pair side by side.

    Returns:
        ``similarity_metrics`` with grades, ``search_metrics`` without; ``examples``.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    first, second = unit[0::2], unit[1::2]
    grades = grades_of(table)
    if grades is not None:
        return similarity_metrics(grades, (first * second).sum(axis=1).astype(np.float64)) | {"examples": len(table)}
    ids = text_numbers(pair_texts(table), 2)
    return search_metrics(first, ids, second, ids[:, 1]) | {"examples": len(table)}
