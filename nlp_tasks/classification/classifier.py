"""Text classification: one label of several, or any number of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_tasks.batches import TextBatches
from nlp_tasks.checkpoint import load_task, save_task
from nlp_tasks.classification.config import ClassificationTrainConfig
from nlp_tasks.classification.data import class_names, class_weights, down_sampling, encode_labels, known_labels, unseen
from nlp_tasks.classification.model import ClassificationLoss
from nlp_tasks.config import LengthConfig
from nlp_tasks.distilled import distilled
from nlp_tasks.encoders import make_text_encoder, start_contents
from nlp_tasks.examples import Table, check_lengths, label_tuples, table_of, text_list
from nlp_tasks.export.exportable import Target, export
from nlp_tasks.export.heads import sequence_classifier
from nlp_tasks.inputs import Inputs, longest, read_texts
from nlp_tasks.model import TextModel, outputs
from nlp_tasks.splits import contents, hold_out, parts_of
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import TaskTraining, nonempty, train_task
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.evaluation.text import best_thresholds, multi_label_metrics, single_label_metrics
from recsys_bert.settings import make_config

TASK = "classifier"

Labels = Iterable[str | int] | Iterable[Iterable[str | int]]
"""Label of each text; with several labels, a list of them for each text."""


@dataclass
class Classifier:
    """Text classifier.

    ::

        classifier = Classifier.train(["a ball on goal", "the soup", …], ["sport", "food", …])
        classifier.predict(["bread and salt"])  # ["food"]
        classifier.save("models/topics")
    """

    model: TextModel
    tokenizer: Tokenizer
    labels: list[str]
    """Labels as in the data; the order of the columns of ``probabilities``."""

    names: list[str]
    """Display name of each label; the label itself where it has none."""

    length: LengthConfig
    multi_label: bool
    thresholds: NDArray[np.float64] | None = None
    """``[classes]`` probability from which on a label is predicted; for several labels."""

    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded classifier."""

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        labels: Labels,
        *,
        validation: tuple[Iterable[str], Labels] | float | None = None,
        test: tuple[Iterable[str], Labels] | None = None,
        out: Path | None = None,
        config: ClassificationTrainConfig | None = None,
        allow_parts: bool = False,
        **settings: Any,
    ) -> "Classifier":
        """Train a classifier.

        Args:
            texts: Training texts.
            labels: Label of each; with ``task={"multi_label": True}`` a list of labels.
            validation: Texts and labels that pick epoch and thresholds, or the share of the training examples to hold
                out for it; None: 0.1.
            test: Texts and labels; evaluated once, after training.
            out: Run folder, as of `text classify train`; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            allow_parts: Import parts from outside (``module:Class``) that the run of ``init`` names; their code runs.
            settings: Or single ones, as in a recipe: ``train={"epochs": 3}, head={"name": "attention"}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(ClassificationTrainConfig, config, settings)
        make = partial(_table, multi_label=config.task.multi_label)
        parts = parts_of(make(texts, labels, "training"), validation, test, make, config.train.seed, hold_out)
        with allowing_parts(allow_parts):
            return train_classifier(parts, config, out)

    @classmethod
    def load(cls, folder: Path, *, allow_parts: bool = False) -> "Classifier":
        """Load a run folder of a classifier, or a folder that ``save`` wrote.

        Args:
            folder: The folder.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: It holds no classifier, or a damaged one.
        """
        with allowing_parts(allow_parts):
            model, tokenizer, length, about = load_task(folder, TASK)
        thresholds = None if about["thresholds"] is None else np.asarray(about["thresholds"], np.float64)
        return cls(model, tokenizer, about["labels"], about["names"], length, about["multi_label"], thresholds)

    def save(self, folder: Path) -> None:
        """Write the classifier to ``folder``, all or nothing."""
        about = {"labels": self.labels, "names": self.names, "multi_label": self.multi_label}
        about["thresholds"] = None if self.thresholds is None else self.thresholds.tolist()
        save_task(Path(folder), TASK, self.model, self.tokenizer, self.length, **about)

    def export(self, folder: Path | str, to: Target = "transformers") -> Path:
        """Write a folder that transformers, sentence-transformers or onnxruntime opens, with the same outputs.

        Longer texts than ``model_max_length`` are cut to their beginning there, whatever ``length`` does here.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``transformers`` (head ``first``), ``sentence-transformers`` (the vectors of ``encode``) or ``onnx``.

        Raises:
            InputError: The other side has no such model; the message names every reason.
        """
        return export(
            sequence_classifier(self.model, self.tokenizer, self.max_len, self.names, multi_label=self.multi_label),
            folder,
            to,
        )

    def predict(self, texts: Iterable[str] | Inputs) -> list[str] | list[tuple[str, ...]]:
        """Label of each text; with several labels, those predicted, the most probable first."""
        probabilities = self.probabilities(texts)
        if not self.multi_label:
            return [self.names[best] for best in probabilities.argmax(axis=1)]
        predicted, order = self.predicted(probabilities), np.argsort(-probabilities, axis=1, kind="stable")
        return [tuple(self.names[c] for c in order[i] if predicted[i, c]) for i in range(len(order))]

    def probabilities(self, texts: Iterable[str] | Inputs) -> NDArray[np.float64]:
        """Probability of every label, ``[n, classes]``; rows sum to 1 unless there may be several labels."""
        logits = outputs(self.model, self.inputs(texts)).astype(np.float64)
        if self.multi_label:
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=1, keepdims=True)

    def encode(self, texts: Iterable[str] | Inputs) -> NDArray[np.float32]:
        """Vectors of texts ``[n, dim]``: what the head pools, before the output layer."""
        return outputs(self.model, self.inputs(texts), forward=self.model.vectors)

    def evaluate(self, texts: Iterable[str] | Inputs, labels: Labels) -> dict[str, Any]:
        """Metrics on labelled texts; see ``single_label_metrics`` and ``multi_label_metrics``.

        Raises:
            InputError: Lists of different lengths, empty ones, or a label that does not occur in training.
        """
        inputs, names = self.inputs(texts), label_tuples(labels, multi_label=self.multi_label)
        check_lengths({"texts": range(len(inputs)), "labels": names})
        if not names:
            raise InputError("there are no texts to evaluate on.")
        if reason := next(filter(None, unseen(names, self.labels)), None):
            raise InputError(f"{reason}; the labels are {', '.join(self.labels)}.")
        return self.metrics(self.probabilities(inputs), encode_labels(names, self.labels, self.multi_label))

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, texts: Iterable[str] | Inputs) -> Inputs:
        """Rows that the encoder reads of texts; those made before pass through."""
        if isinstance(texts, Inputs):
            return texts
        return read_texts(self.tokenizer, text_list(texts), None, self.length, self.max_len)

    def predicted(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Labels predicted, ``[n, classes]``: the most probable one, or all that reach their thresholds."""
        if self.multi_label:
            assert self.thresholds is not None
            return probabilities >= self.thresholds
        return np.arange(len(self.labels)) == probabilities.argmax(axis=1)[:, None]

    def metrics(self, probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, Any]:
        """Metrics of probabilities ``[n, classes]`` on targets as of ``encode_labels``."""
        if self.multi_label:
            return multi_label_metrics(targets, probabilities, self.predicted(probabilities), self.names)
        return single_label_metrics(targets, probabilities, self.names)


def _table(texts: Iterable[str], labels: Labels, name: str, *, multi_label: bool) -> Table:
    return table_of({"texts": texts}, labels, name, multi_label=multi_label)


def train_classifier(
    parts: Mapping[str, Table],
    config: ClassificationTrainConfig,
    out: Path | None = None,
    names_file: Path | None = None,
) -> Classifier:
    """Train on tables; see ``Classifier.train``.

    Args:
        parts: ``train``, ``validation`` and, where there is one, ``test``; one column of texts each.
        config: Settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.
        names_file: See ``class_names``.
    """
    classifier, training = build_training(parts, config, names_file)
    classifier.results = train_task(training, config, out)
    return classifier


def build_training(
    parts: Mapping[str, Table], config: ClassificationTrainConfig, names_file: Path | None = None
) -> tuple[Classifier, TaskTraining]:
    """Build an untrained classifier and its training; see ``train_classifier``.

    Raises:
        InputError: Data or settings that do not fit.
    """
    task = config.task
    labels = known_labels(parts["train"].labels or [], task.multi_label)
    if config.train.monitor in ("f1", "auc") and len(labels) != 2:
        raise InputError(f"train.monitor {config.train.monitor!r} is for two labels; there are {len(labels)}.")
    parts = {name: table.without(unseen(table.labels or [], labels)) for name, table in parts.items()}
    targets = {name: encode_labels(table.labels or [], labels, task.multi_label) for name, table in parts.items()}
    texts = {name: _only_column(table) for name, table in parts.items()}
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.tokenizer, texts["train"], config.init_layers
    )
    auxiliary = config.train.auxiliary.weight
    model = TextModel(encoder, config.head, len(labels), config.length.pool, auxiliary=auxiliary > 0)
    names = class_names(labels, names_file)
    classifier = Classifier(model, tokenizer, labels, names, config.length, task.multi_label)
    inputs = {name: classifier.inputs(column) for name, column in texts.items()}
    loss = ClassificationLoss(model, task, class_weights(targets["train"], labels, task), auxiliary)

    def evaluate(split: str) -> dict[str, Any]:
        probabilities = classifier.probabilities(inputs[split])
        if task.multi_label and split == "validation":
            classifier.thresholds = best_thresholds(targets[split], probabilities, task.thresholds)
        return classifier.metrics(probabilities, targets[split])

    def record() -> dict[str, Any]:
        counts = {name: {**table.left_out, **inputs[name].counts} for name, table in parts.items()}
        return {"examples": {name: len(table) for name, table in parts.items()}, "counted": nonempty(counts)}

    batches = TextBatches(
        inputs["train"],
        {"labels": targets["train"]},
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        choose=down_sampling(targets["train"], task.down_sample) if task.down_sample else None,
    )
    training = TaskTraining(
        kind=TASK,
        loss=distilled(loss, classifier, _teacher(config, classifier), config.distillation),
        model=model,
        batches=batches,
        sources=contents(parts.values()) | start_contents(config.init, config.tokenizer, config.teacher),
        splits=[name for name in parts if name != "train"],
        evaluate=evaluate,
        record=record,
        save=classifier.save,
    )
    return classifier, training


def _only_column(table: Table) -> list[str]:
    (texts,) = table.texts.values()
    return texts


def _teacher(config: ClassificationTrainConfig, student: Classifier) -> Classifier | None:
    """The trained teacher, which must know the same labels; None without one."""
    if config.teacher is None:
        return None
    teacher = Classifier.load(config.teacher)
    if teacher.multi_label != student.multi_label:
        raise InputError(f"teacher {config.teacher} has task.multi_label {teacher.multi_label}; take the same.")
    if teacher.labels != student.labels:
        raise InputError(f"teacher {config.teacher} knows other labels: {', '.join(teacher.labels)}.")
    return teacher
